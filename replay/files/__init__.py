"""Recordings in files: WFDB records of several segments, and other formats."""
