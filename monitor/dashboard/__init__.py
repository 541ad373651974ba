"""The terminal dashboard: its state, and how it is drawn."""
