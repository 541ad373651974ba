"""Loops of the live score: shapes of a patient's beats, what is usual, the score. Compiled."""
