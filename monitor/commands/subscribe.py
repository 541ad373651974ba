"""`monitor subscribe`: print the alerts of a running monitor, each exactly once."""

import sys
from pathlib import Path
from typing import Final

from monitor.run.reporters import record_line
from pipeline.client import Subscriber
from pipeline.schema.public import Alert, Gap, LogReplaced, encode_json
from pipeline.transport.curve import ClientKeys

_TURN_S: Final = 0.25
_PATIENCE_S: Final = 2.0


def watch(
    endpoint: str,
    *,
    from_seq: int | None,
    stream: str | None,
    position: Path | None,
    as_json: bool,
    keys: ClientKeys | None = None,
) -> None:
    """Print alerts until interrupted.

    Args:
        endpoint: address of the alerts.
        from_seq: first alert wanted where there is no position yet.
        stream: only of this stream; None for all.
        position: file that keeps how far everything was printed; None for none.
        as_json: one JSON object a line.
        keys: what to show a monitor that asks for keys.

    Raises:
        ConfigError: the address is malformed, or the position cannot be read or written.
        EndpointError: the monitor refuses these keys.
    """
    with Subscriber(endpoint, from_seq=from_seq, position=position, keys=keys) as subscriber:
        silent = False
        while True:
            for message in subscriber.receive(_TURN_S):
                if isinstance(message, Gap | LogReplaced) or (
                    isinstance(message, Alert) and stream in (None, message.stream)
                ):
                    line = encode_json(message).decode() if as_json else record_line(message)
                    sys.stdout.write(line + "\n")
                    sys.stdout.flush()
            # Written and flushed: what is killed between the two prints these lines again.
            subscriber.store()
            if silent != (subscriber.silent_s > _PATIENCE_S):
                silent = not silent
                _say(_words(endpoint, subscriber) if silent else f"{endpoint} is heard")


def _words(endpoint: str, subscriber: Subscriber) -> str:
    if subscriber.heartbeats:
        return f"nothing heard from {endpoint} for {_PATIENCE_S:g} s, still waiting"
    return f"nothing heard from {endpoint} yet, still waiting; is a monitor running?"


def _say(text: str) -> None:
    sys.stderr.write(f"monitor: {text}\n")
    sys.stderr.flush()
