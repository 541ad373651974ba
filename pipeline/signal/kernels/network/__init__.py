"""Networks of 16 beats at a time, compiled: each beat has a lane of its own."""
