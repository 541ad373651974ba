"""Requests to a running monitor and its replies: the replay and the control socket, as JSON.

Decoding raises `WireError` and nothing else, whatever the bytes. The rules of
`pipeline.schema.public` hold: fields are added at the end with a default, none is renamed or
removed.
"""

from typing import Annotated, Final, Literal

import msgspec

from pipeline.schema.limits import Limits as Limits
from pipeline.schema.public import (
    Alert,
    PublishedAlert,
    SignalStrip,
    Status,
    SystemReport,
    decode_json,
)

MAX_SILENCE_S: Final = 180.0
"""The longest audio pause that can be asked for (bedside monitors: 30 s to 3 min)."""

ALERTS_PER_PAGE: Final = 500
"""Alerts in one page of the replay socket's answer."""

LONGEST_LINK: Final = 64
"""Characters of a link of the chain, whole; messages have 16 of them."""


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber sends to the replay socket."""

    log_id: str = ""
    """The log it has read so far; empty if it has read none."""
    from_seq: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 1
    question: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    """Any number: every page of the answer repeats it."""
    link: Annotated[str, msgspec.Meta(max_length=LONGEST_LINK)] = ""
    """That of the alert before ``from_seq``, as it was read; empty where it is not known."""


class ReplayPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the answer; the last one has ``end`` set."""

    log_id: str
    low_water_seq: int
    last_seq: int
    alerts: list[PublishedAlert]
    end: bool
    question: int = 0
    """That of the request."""
    from_seq: int = 0
    to_seq: int = 0
    """The page has every alert from one to the other that can be read."""
    diverged: bool = False
    """Whether the log has another alert than the one before ``from_seq`` of the request, whose
    ``link`` that has: it is an older copy that went on. The answer is the whole log."""
    link: str = ""
    """Of the chain, after the alert ``to_seq``."""


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="ack"):
    """To the control socket: acknowledge active alarms; those that begin later still call."""

    stream: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Only of this stream; empty for all."""
    episode: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """Only this alarm; empty for all."""


class Silence(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="silence"):
    """To the control socket: pause the sound for so long, or until a new high-priority alarm."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_SILENCE_S)]
    """0 ends a pause."""


class Show(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="show"):
    """To the control socket: return one alert and the signal around it."""

    seq: Annotated[int, msgspec.Meta(ge=1, le=2**62)]


class State(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="state"):
    """To the control socket: return the state of the whole system."""


class Died(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="died"):
    """To the control socket, from a supervisor: a process died and is started again."""

    process: Literal["hub", "scorer", "source", "dashboard"]
    code: Annotated[int, msgspec.Meta(ge=-255, le=255)]
    """Its exit code, or minus the signal that killed it."""
    times: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    """How often it died without a steady run between."""
    token: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """The secret that the supervisor gave to the hub when it started it."""


class ControlReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the control socket."""

    alerts: list[Alert] = []
    """Of an `Acknowledge` or `Limits`, the alerts that it made; of a `Show`, that asked for."""
    silenced_s: float = 0.0
    """Seconds until the end of an audio pause."""
    strip: SignalStrip | None = None
    error: str = ""
    """Why nothing was done."""
    system: SystemReport | None = None
    """Of a `State`: the system as a whole, now."""
    statuses: list[Status] = []
    """Of a `State`: every stream."""


ControlRequest = Acknowledge | Limits | Silence | Show | State | Died

_control_decoder: Final[msgspec.json.Decoder[ControlRequest]] = msgspec.json.Decoder(ControlRequest)
_reply_decoder = msgspec.json.Decoder(ControlReply)
_request_decoder = msgspec.json.Decoder(ReplayRequest)
_page_decoder = msgspec.json.Decoder(ReplayPage)


def decode_control_request(frame: bytes) -> ControlRequest:
    """Return the request in ``frame``, or raise `WireError`."""
    return decode_json(_control_decoder, frame)


def decode_control_reply(frame: bytes) -> ControlReply:
    """Return the answer in ``frame``, or raise `WireError`."""
    return decode_json(_reply_decoder, frame)


def decode_replay_request(frame: bytes) -> ReplayRequest:
    """Return the request in ``frame``, or raise `WireError`."""
    return decode_json(_request_decoder, frame)


def decode_replay_page(frame: bytes) -> ReplayPage:
    """Return the page in ``frame``, or raise `WireError`."""
    return decode_json(_page_decoder, frame)
