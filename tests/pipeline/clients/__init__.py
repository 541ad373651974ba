"""Tests of pipeline.clients."""
