"""`monitor silence`: pause the alarm sound of a running monitor."""

import sys

from monitor.commands.running.control import print_reply, send_request
from pipeline.schema.requests import Silence
from pipeline.transport.curve import ClientKeys


def pause_sound(
    endpoint: str, seconds: float, *, as_json: bool, keys: ClientKeys | None = None
) -> None:
    """Pause the sound for ``seconds``, or end a pause with 0; the display is not affected.

    A new alarm of high priority ends the pause.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the monitor refuses.
    """
    reply = send_request(endpoint, Silence(seconds=seconds), keys)
    if as_json:
        print_reply(reply)
    elif reply.silenced_s:
        sys.stdout.write(
            f"no sound for {reply.silenced_s:g} s, unless a new alarm of high priority comes\n"
        )
    else:
        sys.stdout.write("sound is on\n")
