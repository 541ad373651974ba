"""Tables and pictures of the alarms, database by database."""
