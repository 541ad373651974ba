"""Tests of `monitor.api`, mirroring its modules."""
