"""Tests of pipeline.stream."""
