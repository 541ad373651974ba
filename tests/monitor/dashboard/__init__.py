"""Tests of monitor.dashboard."""
