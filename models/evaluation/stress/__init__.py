"""The stream under noise, and with faults put in."""
