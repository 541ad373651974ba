"""What a lead goes through in one call, and which of several is looked at."""
