"""Fine-tuning of a model to one speaker, from a few minutes of speech, with what it gained."""
