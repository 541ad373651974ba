"""Tests of the wall in the browser."""
