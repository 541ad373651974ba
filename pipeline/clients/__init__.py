"""The processes at the other end of the hub's sockets: sources, scorers, subscribers."""
