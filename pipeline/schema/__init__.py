"""Messages: between processes, to subscribers, and requests. Pure, no sockets."""
