"""`monitor limits`: the limits of the alarms of one stream."""

import sys
from collections.abc import Mapping, Sequence

from monitor.commands.running.control import print_reply, send_request
from monitor.text import safe_text
from pipeline.errors import ConfigError, InputError
from pipeline.schema.limits import Limits
from pipeline.schema.public import encode_json
from pipeline.schema.requests import State
from pipeline.transport.curve import ClientKeys


def set_limits(
    endpoint: str,
    stream: str,
    limits: Mapping[str, float],
    *,
    default: bool,
    as_json: bool,
    keys: ClientKeys | None = None,
) -> None:
    """Give a stream limits of its own from now on; without any, print those in force.

    Args:
        endpoint: address of the alerts of a running monitor.
        stream: its name.
        limits: by name, as in docs/alarms.md.
        default: take back those that it has of its own, before.
        as_json: print one JSON object.
        keys: for a monitor that asks for keys.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the monitor refuses.
        InputError: there is no such stream.
    """
    if not limits and not default:
        _print_limits(endpoint, stream, as_json=as_json, keys=keys)
        return
    reply = send_request(
        endpoint, Limits(stream=stream, limits=dict(limits), default=default), keys
    )
    if as_json:
        print_reply(reply)
    elif reply.alerts:
        sys.stdout.write(f"{safe_text(stream)}: {safe_text(reply.alerts[0].reason, 300)}\n")
    else:
        rest = "written to the cluster; refused unless an alert limits_changed comes"
        sys.stdout.write(f"{safe_text(stream)}: {rest}\n")


def _print_limits(endpoint: str, stream: str, *, as_json: bool, keys: ClientKeys | None) -> None:
    statuses = send_request(endpoint, State(), keys).statuses
    found = next((one for one in statuses if one.stream == stream), None)
    if found is None:
        names = ", ".join(safe_text(one.stream) for one in statuses[:5]) or "none"
        raise InputError(f"no stream is called {safe_text(stream)}; there are {names}")
    if as_json:
        shown = {"kind": "limits", "stream": stream, "limits": found.limits}
        sys.stdout.write(encode_json(shown).decode() + "\n")
        return
    for name, value in found.limits.items():
        sys.stdout.write(f"{safe_text(name)} = {value:g}\n")


def limits_of(texts: Sequence[str]) -> dict[str, float]:
    """Return the limits in texts like ``pause_s=2``.

    Raises:
        ConfigError: one is none. The monitor knows which names and numbers are possible.
    """
    limits = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            limits[name.strip()] = float(number)
        except ValueError:
            raise ConfigError(f"{safe_text(text)!r}: give NAME=NUMBER, as pause_s=2") from None
    return limits
