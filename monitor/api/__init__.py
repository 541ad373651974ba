"""What ``import monitor`` offers to Python: `analyze` for a recording, `stream` for chunks."""
