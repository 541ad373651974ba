"""The control socket: acknowledge, silence, show, state, and the deaths of processes.

One frame a request, one frame back. Acknowledging makes alerts, logged and published like any
other, so that every subscriber sees them. An audio pause silences the sound and never hides the
picture; a new alarm of high priority ends it. Whatever arrives is hostile until decoded. Not
thread-safe: runs in the hub's loop.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from pipeline.errors import LogError, WireError
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, Status, SystemReport, encode_json
from pipeline.schema.requests import (
    Acknowledge,
    ControlReply,
    Died,
    Show,
    Silence,
    State,
    decode_control_request,
)
from pipeline.transport.sockets import Router

REQUESTS_A_TURN: Final = 16
"""Answered in one turn of the hub's loop; further requests wait, so that the beats do not."""


class _Reply(NamedTuple):
    """A reply that waits for the commit."""

    peer: bytes
    content: ControlReply | bytes
    """As bytes, the same for every client that asked."""
    claims_record: bool
    """Whether it confirms that something is in the log."""


class Control:
    """Serves the control ``socket`` of a hub that writes ``log``."""

    def __init__(
        self,
        socket: Router,
        log: AlertLog,
        acknowledge: Callable[[str, str], list[Alert]],
        state: Callable[[], tuple[SystemReport, list[Status]]],
        on_death: Callable[[Died], None],
    ) -> None:
        """Begin.

        Args:
            socket: where requests arrive.
            log: the alert log.
            acknowledge: acknowledges alarms, given stream and episode; returns the alerts.
            state: returns the report on the system and the status of every stream, as of now.
            on_death: called when a supervisor reports that a process died.
        """
        self._socket = socket
        self._log = log
        self._acknowledge = acknowledge
        self._state = state
        self._on_death = on_death
        self._silent_until = 0.0
        self._replies: list[_Reply] = []

    def silenced_s(self, now: float) -> float:
        """Return for how many seconds there will be no sound."""
        return round(max(0.0, self._silent_until - now), 1)

    def on_alert(self, alert: Alert) -> None:
        """End an audio pause if a new alert calls at high priority."""
        if alert.state == "on" and alert.priority == "high":
            self._silent_until = 0.0

    def serve(self, now: float) -> list[WireError | LogError]:
        """Carry out requests; return what was no request, and what the log could not give."""
        errors: list[WireError | LogError] = []
        state = b""
        for peer, frame in self._socket.receive(REQUESTS_A_TURN):
            content: ControlReply | bytes
            claims_record = False
            try:
                request = decode_control_request(frame)
                changes = isinstance(request, Acknowledge | Silence | Died)
                # A supervisor shows no key: it starts hubs on loopback alone.
                forbidden = isinstance(request, Died) and peer.user
                if forbidden or not (peer.rights.control if changes else peer.rights.subscribe):
                    raise WireError("this key may not do that; see monitor keys list")
                claims_record = isinstance(request, Acknowledge)
                if isinstance(request, State):
                    content = state = state or self._state_now(now)
                else:
                    content = self._answer(request, now)
            except (WireError, LogError) as error:
                errors.append(error)
                content = ControlReply(error=str(error)[:300])
            self._replies.append(_Reply(peer, content, claims_record))
        return errors

    def reply(self, logged: Sequence[Alert], new: Iterable[Alert], unwritable: str) -> None:
        """Send the replies, after a commit that wrote ``logged`` or was not possible.

        ``new`` alerts, published for the first time, may end an audio pause.
        """
        for alert in new:
            self.on_alert(alert)
        recorded = {_alarm(alert): alert for alert in logged}
        for peer, content, claims_record in self._replies:
            if isinstance(content, ControlReply):
                if unwritable and claims_record and content.alerts:
                    content = ControlReply(error=f"done, but not recorded yet: {unwritable}"[:300])
                elif claims_record:
                    alerts = [recorded.get(_alarm(alert), alert) for alert in content.alerts]
                    content = ControlReply(alerts=alerts, silenced_s=content.silenced_s)
                content = encode_json(content)
            self._socket.send(peer, content)
        self._replies.clear()

    def _state_now(self, now: float) -> bytes:
        """Return the whole state, made once for all who ask: it has a page for each stream."""
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
