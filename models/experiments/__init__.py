"""Ways to train, compared."""
