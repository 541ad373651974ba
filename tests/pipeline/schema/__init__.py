"""Tests of pipeline.schema."""
