"""`monitor ack`: acknowledge the active alarms of a running monitor."""

import sys

from monitor.commands.running.control import print_reply, send_request
from monitor.text import safe_text
from pipeline.schema.public import Alert
from pipeline.schema.requests import Acknowledge
from pipeline.transport.curve import ClientKeys


def acknowledge(
    endpoint: str,
    *,
    stream: str,
    episode: str,
    as_json: bool,
    keys: ClientKeys | None = None,
) -> None:
    """Acknowledge all active alarms, those of one stream, or a single one; print which they were.

    Args:
        endpoint: address of the alerts of a running monitor.
        stream: only alarms of this stream; empty for all.
        episode: only this alarm; empty for all.
        as_json: print the reply as one JSON object.
        keys: for a monitor that asks for keys.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the monitor refuses.
    """
    reply = send_request(endpoint, Acknowledge(stream=stream, episode=episode), keys)
    if as_json:
        print_reply(reply)
        return
    for alert in reply.alerts:
        sys.stdout.write(_acknowledged_line(alert) + "\n")
    if not reply.alerts:
        where = f" in {safe_text(stream)}" if stream else ""
        which = f": no alarm {safe_text(episode, 128)} is active" if episode else ""
        sys.stdout.write(f"nothing to acknowledge{where}{which}\n")


def _acknowledged_line(alert: Alert) -> str:
    condition = "over" if alert.state == "off" else "still there"
    name = safe_text(alert.kind.replace("_", " "))
    where = safe_text(alert.stream) or "the system"
    priority, episode = safe_text(alert.priority), safe_text(alert.episode, 128)
    return f"acknowledged: {where}: {name} ({priority}), {condition}  {episode}"
