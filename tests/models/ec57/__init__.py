"""Tests of models.ec57."""
