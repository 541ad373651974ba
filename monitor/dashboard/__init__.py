"""The terminal dashboard: what it knows, and how it is drawn."""
