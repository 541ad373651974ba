"""What is found in a beat: models asked, this patient's usual beats, the live score."""
