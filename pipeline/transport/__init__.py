"""The sockets, the access list, and the keys."""
