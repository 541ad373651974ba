"""One stream from samples to alerts, and all of them as one state machine. No I/O."""
