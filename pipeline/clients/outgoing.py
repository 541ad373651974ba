"""A source's messages on their way to the hub, and the answers that come back.

Pure: no sockets, no clock.
"""

from typing import NamedTuple, Self

from pipeline.errors import WireError
from pipeline.schema.messages import Accepted, Chunk, End, Refused, after_loss, decode, encode


class Start(NamedTuple):
    """Where a source begins, in its own numbering."""

    epoch: int = 0
    sample: int = 0
    over: bool = False
    """Whether the hub has the whole stream."""


class Outgoing(NamedTuple):
    """A chunk or an end on its way."""

    content: Chunk | End
    number: int = 0
    """0 until it is sent."""
    frame: bytes = b""

    def after_loss(self) -> Self:
        """Return it marked as one whose source no longer has the messages before it."""
        content = after_loss(self.content)
        return self._replace(content=content, frame=encode(content))

    def leaves_out(self, written: int) -> bool:
        """Return whether the hub would wait in vain for one between ``written`` and this one.

        It wants the next number, unless the message says that those before it are no longer kept.
        """
        return self.number > written + 1 and not self.content.unkept


def answer_in(frame: bytes) -> Accepted | Refused | None:
    """Return the hub's answer in ``frame``, or None where it is none."""
    try:
        message = decode(frame)
    except WireError:
        return None
    return message if isinstance(message, Accepted | Refused) else None
