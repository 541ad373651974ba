"""Figures as documents and pictures."""
