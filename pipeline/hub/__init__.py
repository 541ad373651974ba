"""The one stateful process, and its parts."""
