"""Benchmarks, evaluations and the soak, as a person starts them."""
