"""Tests of pipeline.scoring."""
