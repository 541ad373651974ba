"""Tests of models.measure."""
