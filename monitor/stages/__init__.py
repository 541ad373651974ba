"""The stages that run as processes of their own: hub, scorer and source."""
