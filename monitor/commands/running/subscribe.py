"""`monitor subscribe`: print the alerts of a running monitor, each exactly once."""

import sys
from pathlib import Path
from typing import Final

from monitor.alert_lines import record_line
from monitor.text import safe_text
from pipeline.client import Subscriber
from pipeline.schema.public import Alert, Gap, LogReplaced, Unrecorded, encode_json
from pipeline.transport.curve import ClientKeys

_RECEIVE_S: Final = 0.25
_SILENT_AFTER_S: Final = 2.0
"""A hub sends a heartbeat every 250 ms; after so long without one it counts as lost."""


def print_alerts(
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
        endpoint: address of the alerts of a running monitor.
        from_seq: first alert to print where there is no position yet; None for those from now on.
        stream: only alerts of this stream; None for all.
        position: file that keeps the number of the last alert printed; None for none.
        as_json: print one JSON object a line.
        keys: for a monitor that asks for keys.

    Raises:
        ConfigError: the address is malformed, or the position cannot be read or written.
        EndpointError: the monitor refuses these keys.
    """
    with Subscriber(endpoint, from_seq=from_seq, position=position, keys=keys) as subscriber:
        silent, recorded = False, True
        while True:
            for message in subscriber.receive(_RECEIVE_S):
                if isinstance(message, Gap | LogReplaced) or (
                    isinstance(message, Alert | Unrecorded) and stream in (None, message.stream)
                ):
                    sys.stdout.write(_line(message, as_json=as_json) + "\n")
                    sys.stdout.flush()
            # After the lines were flushed: killed between the two, it prints them again.
            subscriber.store()
            if silent != (subscriber.silent_s > _SILENT_AFTER_S):
                silent = not silent
                _report_contact(endpoint, subscriber, silent=silent)
            if recorded != subscriber.recorded:
                recorded = not recorded
                _report(
                    f"NOT RECORDED: {subscriber.log_fault}" if not recorded else "recorded again"
                )


def _line(record: Alert | Gap | LogReplaced | Unrecorded, *, as_json: bool) -> str:
    if not as_json:
        return record_line(record)
    return encode_json(record.alert if isinstance(record, Unrecorded) else record).decode()


def _report_contact(endpoint: str, subscriber: Subscriber, *, silent: bool) -> None:
    """Say on stderr that contact with the hub was lost, or is there."""
    if not silent:
        text = f"receiving from {endpoint}"
    elif subscriber.heartbeats:
        text = f"nothing received from {endpoint} for {_SILENT_AFTER_S:g} s, still waiting"
    else:
        text = f"nothing received from {endpoint} yet, still waiting; is a monitor running?"
    _report(text)


def _report(text: str) -> None:
    sys.stderr.write(f"monitor: {safe_text(text, 300)}\n")
    sys.stderr.flush()
