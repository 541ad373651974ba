"""Loops of the rules of alarms: what is remembered and weighed of the latest beats. Compiled."""
