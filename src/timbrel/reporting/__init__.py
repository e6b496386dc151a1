"""How findings are written down: one page of HTML that needs no network, and a folder written whole."""
