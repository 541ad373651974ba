"""The alarms on records whose rhythms and alarms are known."""
