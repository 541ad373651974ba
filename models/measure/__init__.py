"""How well scores rank, how long a model takes, and where a figure comes from."""
