"""What heart rhythm looks like over minutes and hours: pure functions of beats."""
