"""The stream: samples to beats to scores to alerts, the log, and the wire."""
