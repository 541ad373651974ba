"""Tests of models.files."""
