"""Old alerts on request: who asked on the replay socket, and how far each has been served.

One page a turn, to each asker in its turn, so that a long log holds up nobody. Whoever does not
read what it asked for waits where it is: the pages under way to it are few, and the hub goes on.
Anything that arrives is hostile until decoded. Not thread-safe: runs in the hub's loop.
"""

import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from pipeline.errors import DamageError, LogError, WireError
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, encode_json
from pipeline.schema.requests import (
    ALERTS_PER_PAGE,
    ReplayPage,
    ReplayRequest,
    decode_replay_request,
)
from pipeline.transport.sockets import Peer, Router

PAGES_UNDER_WAY: Final = 4
"""To one asker: a page takes half a megabyte."""


@dataclass(slots=True)
class _Reader:
    """What one peer wants next."""

    from_seq: int
    question: int
    page: bytes = b""
    """The page that did not get into its queue."""
    after_page: int | None = None
    """Where to go on once that is sent; None after the last one."""


class CatchUp:
    """Serves pages of ``log`` on ``end``."""

    def __init__(self, end: Router, log: AlertLog) -> None:
        self._end = end
        self._log = log
        self._askers: OrderedDict[Peer, _Reader] = OrderedDict()

    @property
    def under_way(self) -> bool:
        """Whether somebody could be sent a page now."""
        return any(not asker.page for asker in self._askers.values())

    def serve(self) -> list[WireError | LogError]:
        """Take new requests and send the next page.

        Returns:
            What was no request, and what the log could not give. Around one damaged row the rest
            is sent; where nothing can be read, that peer asks again.
        """
        errors: list[WireError | LogError] = []
        for peer, frame in self._end.receive():
            try:
                request = decode_replay_request(frame)
            except WireError as error:
                errors.append(error)
                continue
            self._askers[peer] = _Reader(self._first_wanted(request), request.question)
        for waiting in [peer for peer, asker in self._askers.items() if asker.page]:
            self._send(waiting)
        due = next((peer for peer, asker in self._askers.items() if not asker.page), None)
        if due is not None:
            self._askers.move_to_end(due)
            errors += self._prepare(self._askers[due])
            if self._askers[due].page:
                self._send(due)
            else:
                del self._askers[due]
        return errors

    def _first_wanted(self, request: ReplayRequest) -> int:
        """Numbers of another log mean nothing here: such a reader gets everything."""
        if request.log_id not in ("", self._log.log_id):
            return self._log.low_water_seq
        return max(request.from_seq, self._log.low_water_seq)

    def _send(self, peer: Peer) -> None:
        asker = self._askers[peer]
        sent = self._end.offer(peer, asker.page)
        if sent is None or (sent and asker.after_page is None):
            del self._askers[peer]
        elif sent and asker.after_page is not None:
            asker.from_seq, asker.page = asker.after_page, b""

    def _prepare(self, asker: _Reader) -> list[LogError]:
        """Make the next page for ``asker``, if the log can be read; return what of it cannot."""
        last_seq = self._log.last_seq
        to_seq = min(asker.from_seq + ALERTS_PER_PAGE - 1, last_seq)
        try:
            alerts, errors = self._read(asker.from_seq, to_seq)
        except LogError as error:
            return [error]
        end = to_seq >= last_seq
        asker.page = encode_json(
            ReplayPage(
                log_id=self._log.log_id,
                low_water_seq=self._log.low_water_seq,
                last_seq=last_seq,
                alerts=alerts,
                end=end,
                question=asker.question,
                from_seq=asker.from_seq,
                to_seq=to_seq,
            )
        )
        asker.after_page = None if end else to_seq + 1
        return errors

    def _read(self, from_seq: int, to_seq: int) -> tuple[list[Alert], list[LogError]]:
        """Return what can be read from one number to the other, and what stood in the way.

        Raises:
            LogError: nothing can be read, now.
        """
        if to_seq < from_seq:
            return [], []
        try:
            return self._log.read(from_seq, to_seq - from_seq + 1), []
        except DamageError as error:
            first = error
        # One damaged row must not keep the others from whoever needs them.
        alerts: list[Alert] = []
        for seq in range(from_seq, to_seq + 1):
            with contextlib.suppress(DamageError):
                alerts += [alert for alert in self._log.read(seq, 1) if alert.seq == seq]
        return alerts, [first]
