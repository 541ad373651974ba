"""What `monitor doctor` looks at."""
