"""Tests of monitor.run."""
