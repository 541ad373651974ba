"""Tests of models.experiments."""
