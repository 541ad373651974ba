"""Annotations against annotations, as ANSI/AAMI EC57 and the WFDB programs compare them."""
