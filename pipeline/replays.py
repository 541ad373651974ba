"""Old alerts on request: who asked on the replay socket, and how far each has been served.

One page a turn to each asker, so that a long log holds up nobody else. Anything that arrives is
hostile until decoded. Not thread-safe: runs in the hub's loop.
"""

from pipeline.errors import LogError, WireError
from pipeline.log import AlertLog
from pipeline.public import (
    ALERTS_PER_PAGE,
    ReplayPage,
    ReplayRequest,
    decode_replay_request,
    encode_json,
)
from pipeline.transport import Peer, Router


class Replays:
    """Serves pages of ``log`` on ``end``."""

    def __init__(self, end: Router, log: AlertLog) -> None:
        self._end = end
        self._log = log
        self._next: dict[Peer, int] = {}

    @property
    def under_way(self) -> bool:
        """Whether somebody has not got the last page yet."""
        return bool(self._next)

    def serve(self) -> list[WireError | LogError]:
        """Take new requests and send everybody the next page.

        Returns:
            What was no request, and what the log could not answer: that peer asks again.
        """
        errors: list[WireError | LogError] = []
        for peer, frame in self._end.receive():
            try:
                self._next[peer] = self._first_wanted(decode_replay_request(frame))
            except WireError as error:
                errors.append(error)
        for peer, from_seq in list(self._next.items()):
            try:
                page = self._page(from_seq)
            except LogError as error:
                errors.append(error)
                del self._next[peer]
                continue
            if not self._end.send(peer, encode_json(page)) or page.end:
                del self._next[peer]
            else:
                self._next[peer] = page.alerts[-1].seq + 1
        return errors

    def _first_wanted(self, request: ReplayRequest) -> int:
        """Numbers of another log mean nothing here: such a reader gets everything."""
        if request.log_id not in ("", self._log.log_id):
            return self._log.low_water_seq
        return max(request.from_seq, self._log.low_water_seq)

    def _page(self, from_seq: int) -> ReplayPage:
        alerts = self._log.read(from_seq, ALERTS_PER_PAGE)
        return ReplayPage(
            log_id=self._log.log_id,
            low_water_seq=self._log.low_water_seq,
            last_seq=self._log.last_seq,
            alerts=alerts,
            end=len(alerts) < ALERTS_PER_PAGE,
        )
