"""Tests of pipeline.transport."""
