"""Tests of pipeline.kafka."""
