"""The commands of a system of many machines: gateway, worker, bridge, and a reader of alerts."""
