"""Tests of pipeline.alarms."""
