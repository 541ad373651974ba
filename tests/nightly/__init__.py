"""Campaigns of `make nightly`, each for as long as it is given: kills, and hostile bytes."""
