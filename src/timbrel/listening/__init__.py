"""Listening tests in the browser: made, served to listeners, and worked out."""
