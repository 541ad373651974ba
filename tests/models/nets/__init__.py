"""Tests of models.nets."""
