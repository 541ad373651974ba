"""The durable log of alerts: written, read, kept small, verified."""
