"""Several leads of one patient: which are taken, and how they are read together."""
