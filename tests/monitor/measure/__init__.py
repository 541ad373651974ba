"""Tests of monitor.measure."""
