"""Tests of live devices."""
