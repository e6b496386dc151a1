"""The published families, one module each with one `FAMILY`."""
