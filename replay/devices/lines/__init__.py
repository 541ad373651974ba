"""Devices that send lines of text, on a serial port or through a pipe."""
