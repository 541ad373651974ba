"""What is said: messages between processes, to subscribers, and requests. Pure, no sockets."""
