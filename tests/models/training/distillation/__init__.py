"""Tests of `models.training.rhythms`."""
