"""What the commands for a running monitor do."""
