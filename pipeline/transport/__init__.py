"""The sockets, who may use them, and the keys."""
