"""`monitor subscribe`: print the alerts of a running monitor, each exactly once."""

import sys
from pathlib import Path
from typing import Final

from monitor.alert_lines import SILENT_AFTER_S, contact_line, record_line
from monitor.text import safe_text
from pipeline.client import Subscriber
from pipeline.schema.public import Alert, Gap, LogReplaced, Trend, Unrecorded, encode_json
from pipeline.transport.curve import ClientKeys

_RECEIVE_S: Final = 0.25


def print_alerts(
    endpoint: str,
    *,
    from_seq: int | None,
    stream: str | None,
    position: Path | None,
    as_json: bool,
    trends: bool = False,
    keys: ClientKeys | None = None,
) -> None:
    """Print alerts until interrupted.

    Args:
        endpoint: address of the alerts of a running monitor.
        from_seq: first alert to print where there is no position yet; None for those from now on.
        stream: only alerts of this stream; None for all.
        position: file that keeps the number of the last alert printed; None for none.
        as_json: print one JSON object a line.
        trends: print each minute of every stream, as it becomes known, as a JSON line as well.
        keys: for a monitor that asks for keys.

    Raises:
        ConfigError: the address is malformed, or the position cannot be read or written.
        EndpointError: the monitor refuses these keys.
    """
    topics = [f"trend/{stream or ''}"] if trends else []
    with Subscriber(
        endpoint, from_seq=from_seq, position=position, topics=topics, keys=keys
    ) as subscriber:
        silent, recorded = False, True
        while True:
            for message in subscriber.receive(_RECEIVE_S):
                if isinstance(message, Gap | LogReplaced) or (
                    isinstance(message, Alert | Unrecorded | Trend)
                    and stream in (None, message.stream)
                ):
                    sys.stdout.write(_line(message, as_json=as_json) + "\n")
                    sys.stdout.flush()
            # After the lines were flushed: killed between the two, it prints them again.
            subscriber.store()
            if silent != (subscriber.silent_s > SILENT_AFTER_S):
                silent = not silent
                before = subscriber.heartbeats > 0
                _report(contact_line(endpoint, silent=silent, before=before))
            if recorded != subscriber.recorded:
                recorded = not recorded
                _report(
                    f"NOT RECORDED: {subscriber.log_fault}" if not recorded else "recorded again"
                )


def _line(record: Alert | Gap | LogReplaced | Unrecorded | Trend, *, as_json: bool) -> str:
    if not (as_json or isinstance(record, Trend)):
        return record_line(record)
    return encode_json(record.alert if isinstance(record, Unrecorded) else record).decode()


def _report(text: str) -> None:
    sys.stderr.write(f"monitor: {safe_text(text, 300)}\n")
    sys.stderr.flush()
