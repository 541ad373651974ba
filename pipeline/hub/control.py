"""What a running monitor is told and asked: acknowledge, silence, show, state; deaths of processes.

`Control` answers on the control socket, one frame a request, one frame back. Acknowledging is an
alert like any other, logged and published, so that every watcher sees it. An audio pause takes
the sound and never the picture; a new alarm of high priority ends it. Anything that arrives is
hostile until decoded. Not thread-safe: runs in the hub's loop.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pipeline.errors import LogError, WireError
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, Status, encode_json
from pipeline.schema.requests import (
    Acknowledge,
    ControlReply,
    Died,
    Show,
    Silence,
    State,
    decode_control_request,
)
from pipeline.schema.system_report import SystemReport
from pipeline.transport.sockets import Router

REQUESTS_A_TURN: Final = 16
"""Answered in one turn of the hub's loop; the others wait, and the beats do not."""


class _Reply(NamedTuple):
    """An answer that waits for the commit."""

    peer: bytes
    content: ControlReply | bytes
    """As bytes, the same for all who asked."""
    wants_record: bool
    """Whether it says that something is in the log."""


class Control:
    """The control socket ``end`` of a hub that writes ``log``."""

    def __init__(
        self,
        end: Router,
        log: AlertLog,
        acknowledge: Callable[[str, str], list[Alert]],
        state: Callable[[], tuple[SystemReport, list[Status]]],
        on_death: Callable[[Died], None],
    ) -> None:
        """Begin.

        Args:
            end: the socket.
            log: the alert log.
            acknowledge: given stream and episode, does it and returns the alerts that say so.
            state: returns how the system and every stream stand now.
            on_death: takes the news of a process that died.
        """
        self._end = end
        self._log = log
        self._acknowledge = acknowledge
        self._state = state
        self._on_death = on_death
        self._silent_until = 0.0
        self._replies: list[_Reply] = []

    def silenced_s(self, now: float) -> float:
        """Return for how long there will be no sound."""
        return round(max(0.0, self._silent_until - now), 1)

    def on_alert(self, alert: Alert) -> None:
        """Take note of a new alert: one that calls at high priority ends an audio pause."""
        if alert.state == "on" and alert.priority == "high":
            self._silent_until = 0.0

    def serve(self, now: float) -> list[WireError | LogError]:
        """Do what has been asked; return what was no request, or could not be read."""
        errors: list[WireError | LogError] = []
        state = b""
        for peer, frame in self._end.receive(REQUESTS_A_TURN):
            content: ControlReply | bytes
            recorded = False
            try:
                request = decode_control_request(frame)
                changes = isinstance(request, Acknowledge | Silence | Died)
                # A supervisor shows no key: it starts hubs on loopback alone.
                forbidden = isinstance(request, Died) and peer.user
                if forbidden or not (peer.rights.control if changes else peer.rights.subscribe):
                    raise WireError("this key may not do that; see monitor keys list")
                recorded = isinstance(request, Acknowledge)
                if isinstance(request, State):
                    content = state = state or self._state_now(now)
                else:
                    content = self._answer(request, now)
            except (WireError, LogError) as error:
                errors.append(error)
                content = ControlReply(error=str(error)[:300])
            self._replies.append(_Reply(peer, content, recorded))
        return errors

    def reply(self, logged: Sequence[Alert], unwritable: str) -> None:
        """Answer: to be called after the commit, with what it wrote or why it wrote nothing."""
        recorded = {_alarm(alert): alert for alert in logged}
        for peer, content, wants_record in self._replies:
            if isinstance(content, ControlReply):
                if unwritable and wants_record and content.alerts:
                    content = ControlReply(error=f"done, but not recorded yet: {unwritable}"[:300])
                elif wants_record:
                    alerts = [recorded.get(_alarm(alert), alert) for alert in content.alerts]
                    content = ControlReply(alerts=alerts, silenced_s=content.silenced_s)
                content = encode_json(content)
            self._end.send(peer, content)
        self._replies.clear()

    def _state_now(self, now: float) -> bytes:
        """Return how all stands: a page for each stream, so it is made once for all who ask."""
        system, statuses = self._state()
        return encode_json(
            ControlReply(silenced_s=self.silenced_s(now), system=system, statuses=statuses)
        )

    def _answer(self, request: Acknowledge | Silence | Show | Died, now: float) -> ControlReply:
        match request:
            case Acknowledge():
                alerts = self._acknowledge(request.stream, request.episode)
                return ControlReply(alerts=alerts, silenced_s=self.silenced_s(now))
            case Silence():
                self._silent_until = now + request.seconds
                return ControlReply(silenced_s=self.silenced_s(now))
            case Show():
                return self._show(request.seq)
            case Died():
                self._on_death(request)
                return ControlReply(silenced_s=self.silenced_s(now))

    def _show(self, seq: int) -> ControlReply:
        alert = self._log.alert(seq)
        if alert is None:
            first, last = self._log.low_water_seq, self._log.last_seq
            error = f"the log holds no alert {seq}: it has {first} to {last}"
            return ControlReply(error=error if last >= first else "the log holds no alert yet")
        return ControlReply(alerts=[alert], strip=self._log.strip(seq))


def _alarm(alert: Alert) -> tuple[str, str, str]:
    return alert.stream, alert.episode, alert.state
