"""Tests of the leads of a patient."""
