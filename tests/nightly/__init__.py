"""Campaigns of `make nightly`, each for as long as it is given: kills, hostile bytes, a cluster."""
