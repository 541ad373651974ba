"""What the models are worth: the published protocol, and patients never seen."""
