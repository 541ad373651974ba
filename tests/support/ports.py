"""Ports of loopback for the processes that a test starts, and for nobody else."""

import socket
from contextlib import ExitStack


def free_ports(count: int = 3) -> int:
    """Return a port that is free, and as many above it that ``count`` are in all.

    They stay bound until the tests end, and nobody listens: who asks for them by number binds over
    them, and the kernel gives them to no other test that runs at the same time.
    """
    while True:
        with ExitStack() as stack:
            held = [stack.enter_context(socket.socket()) for _ in range(count)]
            try:
                port = 0
                for above, one in enumerate(held):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    one.bind(("127.0.0.1", port and port + above))
                    port = port or one.getsockname()[1]
            except (OSError, OverflowError):
                continue
            for one in held:
                one.detach()
            return port
