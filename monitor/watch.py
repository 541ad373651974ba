"""`monitor subscribe`: print the alerts of a running monitor, each exactly once."""

import sys
import time
from typing import Final

from monitor.session import alert_line
from pipeline.client import Subscriber
from pipeline.curve import ClientKeys
from pipeline.errors import ConfigError
from pipeline.public import Alert, encode_json
from pipeline.transport import check_address

_PATIENCE_S: Final = 2.0


def watch(
    endpoint: str,
    *,
    from_seq: int | None,
    stream: str | None,
    as_json: bool,
    keys: ClientKeys | None = None,
) -> None:
    """Print alerts until interrupted.

    Raises:
        ConfigError: the address is malformed.
        EndpointError: the monitor refuses these keys.
    """
    subscriber = Subscriber(endpoint, endpoint_above(endpoint, 1), from_seq=from_seq, keys=keys)
    began = time.monotonic()
    told = False
    missed = 0
    with subscriber:
        while True:
            for message in subscriber.receive(0.25):
                if isinstance(message, Alert) and stream in (None, message.stream):
                    line = encode_json(message).decode() if as_json else alert_line(message)
                    sys.stdout.write(line + "\n")
                    sys.stdout.flush()
            if subscriber.follower.missed > missed:
                missed = subscriber.follower.missed
                _say(f"{missed} alerts are no longer in the log and cannot be shown")
            if subscriber.heartbeats == 0 and not told and time.monotonic() - began > _PATIENCE_S:
                told = True
                _say(f"nothing heard from {endpoint} yet, still waiting; is a monitor running?")


def endpoint_above(alerts: str, ports: int) -> str:
    """Return the address so many ports above that of the alerts: 1 replay, 2 control.

    Raises:
        ConfigError: the address is malformed.
    """
    check_address(alerts, keys=True)  # whether there are any is for the sockets to ask
    host, _, port = alerts.rpartition(":")
    if not 1 <= int(port) <= 65535 - ports:
        raise ConfigError(f"{alerts}: the port must be 1 to {65535 - ports}")
    return f"{host}:{int(port) + ports}"


def _say(text: str) -> None:
    sys.stderr.write(f"monitor: {text}\n")
    sys.stderr.flush()
