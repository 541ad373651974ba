"""Tests of models.inference."""
