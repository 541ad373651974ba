"""Tests of pipeline.signal."""
