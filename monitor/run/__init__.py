"""A run of the whole system: its processes from start to summary."""
