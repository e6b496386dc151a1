"""Whether a corpus is fit for use: figures for each speaker, and what is suspicious."""
