"""Forward passes of small networks, sums of trees, and the probabilities of both."""
