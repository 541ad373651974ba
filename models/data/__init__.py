"""Beats of annotated records, for training and evaluation."""
