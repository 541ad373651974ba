"""Requests to the control socket of a running monitor, for the commands that send one."""

import sys

from monitor.text import safe_text
from pipeline.client import CONTROL_ABOVE, ask, endpoint_above
from pipeline.errors import ConfigError
from pipeline.schema.public import encode_json
from pipeline.schema.requests import ControlReply, ControlRequest
from pipeline.transport.curve import ClientKeys


def send_request(
    endpoint: str, request: ControlRequest, keys: ClientKeys | None = None
) -> ControlReply:
    """Return the reply of the monitor that publishes its alerts at ``endpoint``.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the monitor refuses the request.
    """
    reply = ask(endpoint_above(endpoint, CONTROL_ABOVE), request, keys=keys)
    if reply.error:
        raise ConfigError(f"the monitor at {endpoint} says: {safe_text(reply.error, 300)}")
    return reply


def print_reply(reply: ControlReply) -> None:
    """Print a reply as one JSON object."""
    sys.stdout.write(encode_json(reply).decode() + "\n")
