"""Tests of models.data."""
