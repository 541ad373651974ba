"""The leads of a patient: each by itself, and what they say together."""
