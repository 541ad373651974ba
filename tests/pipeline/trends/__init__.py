"""Tests of pipeline.trends."""
