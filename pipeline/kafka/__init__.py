"""Many machines: chunks, alerts and snapshots as topics of a cluster that speaks Kafka."""
