"""Rules that assess several beats in a row as a whole."""
