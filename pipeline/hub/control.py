"""The control socket: acknowledge, limits, silence, show, state, and the deaths of processes.

One frame a request, one frame back. Acknowledging makes alerts, logged and published like any
other, so that every subscriber sees them; where there is nothing to acknowledge, nothing is
written. Deaths are reported by the supervisor alone, which shows the secret that it gave to the
hub. A client that asks for changes faster than a person can is refused. An audio pause silences the
sound and never hides the picture; a new alarm of high priority ends it. Whatever arrives is hostile
until decoded. Not thread-safe: runs in the hub's loop.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hmac import compare_digest
from typing import Final, NamedTuple

from pipeline.errors import LogError, WireError
from pipeline.log.store import AlertLog
from pipeline.schema.messages import Acknowledged
from pipeline.schema.public import Alert, Status, SystemReport, encode_json
from pipeline.schema.requests import (
    Acknowledge,
    ControlReply,
    ControlRequest,
    Died,
    Limits,
    Show,
    Silence,
    State,
    decode_control_request,
)
from pipeline.transport.sockets import Peer, Router

REQUESTS_A_TURN: Final = 16
"""Answered in one turn of the hub's loop; further requests wait, so that the beats do not."""

CHANGES_A_SECOND: Final = 8.0
"""Requests for a change that one client may make in the long run."""

CHANGES_AT_ONCE: Final = 32.0
"""Requests for a change that one client may make at once, after a pause."""

_MOST_CLIENTS: Final = 1_024
"""Whose requests are remembered."""


class _Allowance:
    """How many changes each client may still ask for: by its key, or by its connection."""

    def __init__(self) -> None:
        self._left: OrderedDict[str | bytes, tuple[float, float]] = OrderedDict()
        """(changes left, when that was so), the client that asked last at the end."""

    def use(self, client: str | bytes, now: float) -> bool:
        """Use one of the changes of ``client``; False where none is left."""
        left, then = self._left.pop(client, (CHANGES_AT_ONCE, now))
        left = min(CHANGES_AT_ONCE, left + CHANGES_A_SECOND * (now - then))
        allowed = left >= 1.0
        self._left[client] = (left - 1.0 if allowed else left, now)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return allowed


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
        change: Callable[[Acknowledged | Limits], list[Alert]],
        state: Callable[[], tuple[SystemReport, list[Status]]],
        on_death: Callable[[Died], None],
        supervisor: str = "",
    ) -> None:
        """Begin.

        Args:
            socket: where requests arrive.
            log: the alert log.
            change: acknowledges alarms, or gives a stream limits of its own; returns the alerts,
                raises `WireError` for what is refused.
            state: returns the report on the system and the status of every stream, as of now.
            on_death: called when the supervisor reports that a process died.
            supervisor: the secret that it shows; empty where there is none.
        """
        self._socket = socket
        self._log = log
        self._change = change
        self._state = state
        self._on_death = on_death
        self._supervisor = supervisor
        self._allowance = _Allowance()
        self._silent_until = 0.0
        self._replies: list[_Reply] = []

    def silenced_s(self, now: float) -> float:
        """Return for how many seconds there will be no sound."""
        return round(max(0.0, self._silent_until - now), 1)

    @property
    def waits(self) -> bool:
        """Whether a reply waits for the commit."""
        return bool(self._replies)

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
                self._require_right(peer, request, now)
                if isinstance(request, State):
                    content = state = state or self._state_now(now)
                else:
                    content = self._answer(request, now)
                    claims_record = isinstance(request, Acknowledge | Limits)
            except (WireError, LogError) as error:
                errors.append(error)
                content = ControlReply(error=str(error)[:300])
            self._replies.append(_Reply(peer, content, claims_record))
        return errors

    def _require_right(self, peer: Peer, request: ControlRequest, now: float) -> None:
        """Raise `WireError` if a client may not ask for that, or not so often."""
        if isinstance(request, Died):
            # It shows no key: it starts hubs on loopback alone.
            known = bool(self._supervisor) and compare_digest(
                request.token.encode(), self._supervisor.encode()
            )
            if peer.user or not known:
                raise WireError("others than the supervisor of this hub may not do that")
            return
        changes = isinstance(request, Acknowledge | Limits | Silence)
        if not (peer.rights.control if changes else peer.rights.subscribe):
            raise WireError("this key may not do that; see monitor keys list")
        if changes and not self._allowance.use(peer.user or bytes(peer), now):
            raise WireError(f"more than {CHANGES_A_SECOND:g} changes a second from one client")

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

    def _answer(
        self, request: Acknowledge | Limits | Silence | Show | Died, now: float
    ) -> ControlReply:
        match request:
            case Acknowledge():
                event = Acknowledged(stream=request.stream, episode=request.episode)
                return ControlReply(alerts=self._change(event), silenced_s=self.silenced_s(now))
            case Limits():
                return ControlReply(alerts=self._change(request), silenced_s=self.silenced_s(now))
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
