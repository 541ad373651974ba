"""Rules for rhythms whose weights are fitted."""
