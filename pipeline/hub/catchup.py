"""Catch-up: old alerts on request, one page at a time.

Each turn of the hub's loop sends one page, to the reader that was served longest ago, so that a
long log delays no other reader. A reader that does not take its pages waits: few of them may be
under way to it, and the hub does not wait. Whatever arrives is hostile until decoded. Not
thread-safe: runs in the hub's loop.
"""

import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from pipeline.errors import DamageError, LogError, WireError
from pipeline.log.links import link_after, read_published
from pipeline.log.store import AlertLog
from pipeline.schema.public import PublishedAlert, encode_json
from pipeline.schema.requests import (
    ALERTS_PER_PAGE,
    ReplayPage,
    ReplayRequest,
    decode_replay_request,
)
from pipeline.transport.sockets import Peer, Router

PAGES_UNDER_WAY: Final = 4
"""To one reader: a page takes half a megabyte."""


@dataclass(slots=True)
class _Reader:
    """What one peer wants next."""

    from_seq: int
    question: int
    diverged: bool
    """Whether what it has read is not in this log, under these numbers."""
    page: bytes = b""
    """The page that did not fit into its queue."""
    after_page: int | None = None
    """Where to continue once that is sent; None after the last one."""


class CatchUp:
    """Serves pages of ``log`` on ``socket``."""

    def __init__(self, socket: Router, log: AlertLog) -> None:
        self._socket = socket
        self._log = log
        self._readers: OrderedDict[Peer, _Reader] = OrderedDict()

    @property
    def under_way(self) -> bool:
        """Whether a reader can be sent a page now."""
        return any(not reader.page for reader in self._readers.values())

    def serve(self) -> list[WireError | LogError]:
        """Take new requests and send the next page.

        Returns:
            What was no request, and what the log could not give. Around one damaged row the rest
            is sent; where nothing can be read, that reader asks again.
        """
        errors: list[WireError | LogError] = []
        for peer, frame in self._socket.receive():
            try:
                request = decode_replay_request(frame)
            except WireError as error:
                errors.append(error)
                continue
            try:
                self._readers[peer] = self._reader(request)
            except LogError as error:
                errors.append(error)
        for waiting in [peer for peer, reader in self._readers.items() if reader.page]:
            self._send(waiting)
        due = next((peer for peer, reader in self._readers.items() if not reader.page), None)
        if due is not None:
            self._readers.move_to_end(due)
            errors += self._prepare(self._readers[due])
            if self._readers[due].page:
                self._send(due)
            else:
                del self._readers[due]
        return errors

    def _reader(self, request: ReplayRequest) -> _Reader:
        """Return what a reader wants; it gets everything where its numbers mean nothing here.

        That is so in another log, and in one that has another alert where it has read one.

        Raises:
            LogError: the log cannot be read.
        """
        log, first = self._log, request.from_seq
        same = request.log_id in ("", log.log_id)
        diverged = False
        if same and request.log_id and request.link:
            diverged = link_after(log, first - 1) not in ("", request.link)
        if diverged or not same:
            first = log.low_water_seq
        return _Reader(max(first, log.low_water_seq), request.question, diverged)

    def _send(self, peer: Peer) -> None:
        reader = self._readers[peer]
        sent = self._socket.offer(peer, reader.page)
        if sent is None or (sent and reader.after_page is None):
            del self._readers[peer]
        elif sent and reader.after_page is not None:
            reader.from_seq, reader.page = reader.after_page, b""

    def _prepare(self, reader: _Reader) -> list[LogError]:
        """Make the next page for ``reader``, if the log can be read; return what it cannot give."""
        last_seq = self._log.last_seq
        to_seq = min(reader.from_seq + ALERTS_PER_PAGE - 1, last_seq)
        try:
            alerts, errors = self._read(reader.from_seq, to_seq)
            link = link_after(self._log, to_seq)
        except LogError as error:
            return [error]
        end = to_seq >= last_seq
        reader.page = encode_json(
            ReplayPage(
                log_id=self._log.log_id,
                low_water_seq=self._log.low_water_seq,
                last_seq=last_seq,
                alerts=alerts,
                end=end,
                question=reader.question,
                from_seq=reader.from_seq,
                to_seq=to_seq,
                diverged=reader.diverged,
                link=link,
            )
        )
        reader.after_page = None if end else to_seq + 1
        return errors

    def _read(self, from_seq: int, to_seq: int) -> tuple[list[PublishedAlert], list[LogError]]:
        """Return what can be read from one number to the other, and what could not.

        Raises:
            LogError: nothing can be read now.
        """
        if to_seq < from_seq:
            return [], []
        try:
            return read_published(self._log, from_seq, to_seq - from_seq + 1), []
        except DamageError as error:
            first = error
        # One damaged row must not keep the others from a reader that needs them.
        alerts: list[PublishedAlert] = []
        for seq in range(from_seq, to_seq + 1):
            with contextlib.suppress(DamageError):
                alerts += [one for one in read_published(self._log, seq, 1) if one.seq == seq]
        return alerts, [first]
