"""What each of several leads says of an alarm: its states, and the QRS of beats in it."""
