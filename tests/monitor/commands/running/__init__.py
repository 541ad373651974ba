"""Tests of monitor.commands.running."""
