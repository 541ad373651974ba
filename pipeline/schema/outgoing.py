"""A source's messages on their way to the hub.

Pure: no sockets, no clock.
"""

from typing import Final, NamedTuple

import msgspec

from pipeline.schema.messages import Chunk, End, after_loss

_MESSAGE_BYTES: Final = 256
"""Beside the samples."""


class Start(NamedTuple):
    """Where a source begins, in its own numbering."""

    epoch: int = 0
    sample: int = 0
    over: bool = False
    """Whether the hub has the whole stream."""


class Outgoing(msgspec.Struct, gc=False):
    """A chunk or an end on its way; thousands wait, and none holds what holds it."""

    content: Chunk | End
    number: int = 0
    """0 until it is sent."""
    held_bytes: int = 0
    """About how much memory it takes, once it is sent."""

    def sent(self, content: Chunk | End) -> None:
        """Record that it was sent, as ``content``."""
        self.content, self.number = content, content.number
        self.held_bytes = _MESSAGE_BYTES
        if isinstance(content, Chunk):
            self.held_bytes += content.samples.nbytes + content.flags.nbytes

    def after_loss(self) -> "Outgoing":
        """Return it marked as one whose source no longer has the messages before it."""
        return Outgoing(after_loss(self.content), self.number, self.held_bytes)

    def leaves_out(self, written: int) -> bool:
        """Return whether the hub would wait in vain for one between ``written`` and this one.

        It wants the next number, unless the message says that those before it are no longer kept.
        """
        return self.number > written + 1 and not self.content.unkept
