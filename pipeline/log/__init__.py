"""The durable log of alerts: writing, reading, maintenance, verification."""
