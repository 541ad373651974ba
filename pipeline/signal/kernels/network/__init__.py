"""Forward passes of small networks, and sums of trees."""
