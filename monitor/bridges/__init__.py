"""Bridges from a running monitor to other systems: MQTT, webhooks, LSL, FHIR."""
