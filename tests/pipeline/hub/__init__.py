"""Tests of pipeline.hub."""
