"""Tests of monitor.checks."""
