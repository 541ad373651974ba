"""Kernels that bring together those of one lead."""
