"""Training: recipes, prepared corpora and one loop over tasks."""
