"""Tests of the bridges to other systems."""
