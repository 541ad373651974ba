"""Strategies of hypothesis for whatever a peer may send to a hub, valid or not."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
from hypothesis import strategies as st

from pipeline.constants import CLASSES, WINDOW_SAMPLES
from pipeline.schema.messages import (
    Accepted,
    Chunk,
    End,
    Hello,
    Refused,
    ScoreReply,
    encode,
)
from pipeline.schema.public import encode_json
from pipeline.schema.requests import Acknowledge, Died, ReplayRequest, Show, Silence, State
from pipeline.transport.access_list import Rights
from tests.support.ward import FS, PEERS, SESSIONS, Ward

Maker = Callable[[Ward, str], bytes]
"""Makes the frame of a peer by the state of the ward, as somebody who can see it would."""

OWN_STREAMS: Final = ("b-2", "b-3")
"""Of the peer with the pattern, beside the honest one."""

STREAMS: Final = ("a", "a", "b-1", "b-1", *OWN_STREAMS, "c", "", "a\n", "b", "*", "x" * 65)
DAMAGE: Final = ("whole",) * 12 + ("cut", "flipped", "two parts", "split", "long", "other")

HONEST_KEY: Final = {"source of a": "a", "source of b-*": "b-1"}
"""The honest stream that the key of a peer may send: its session is not known to the peer."""

_numbers = st.sampled_from(["next", "next", "last", 0, 1, 2, 2**40, 2**62])


def _session(ward: Ward, peer: str, stream: str, session: str) -> str:
    """Return the session that a peer names: that of the source, where its key does not help."""
    if session != "theirs":
        return session
    foreign = HONEST_KEY.get(peer) != stream
    return SESSIONS.get(stream, "") if foreign else "b" * 32


def _number(ward: Ward, number: Any) -> int:
    return {"next": ward.seconds + 1, "last": ward.seconds}.get(number, number)


MANY = [f"L{i}" for i in range(12)]
"""As many leads as there may be."""


@st.composite
def of_source(draw: st.DrawFn) -> Maker:
    """Return a chunk, an end or a question: of any stream, session, number, epoch and place."""
    kind = draw(st.sampled_from(["chunk", "chunk", "end", "end", "hello"]))
    stream = draw(st.sampled_from(STREAMS))
    session = draw(st.sampled_from(["theirs", "theirs", "theirs", "", "b" * 32]))
    number, place = draw(_numbers), draw(_numbers)
    epoch = draw(st.sampled_from([0, 0, 0, 1, 2, 2**31]))
    flag, fs_hz = draw(st.booleans()), draw(st.sampled_from([360.0, 360.0, 50.0, 250.0]))
    size = draw(st.sampled_from([0, 1, FS, 3000, 27_000]))
    level = draw(st.sampled_from([0.0, 1.0, float("nan"), 1e30]))
    leads = draw(st.sampled_from([[], [], ["II"], ["II", "V1"], ["V1", "II"], ["II", "II"], MANY]))

    def make(ward: Ward, peer: str) -> bytes:
        name = _session(ward, peer, stream, session)
        facts = {"stream": stream, "session": name}
        at = min(2**52, FS * _number(ward, place))
        if kind == "hello":
            return encode(Hello(**facts, resume=flag))
        count = _number(ward, number)
        if kind == "end":
            return encode(End(**facts, epoch=epoch, next_sample=at, number=count, unkept=flag))
        samples = np.full((len(leads), size) if leads else size, level, "<f4")
        return encode(
            Chunk(
                **facts, epoch=epoch, first_sample=at, number=count, unkept=flag, fs_hz=fs_hz,
                samples=samples, shed=2**60 * flag, unreadable=7 * flag, fault="x" * flag,
                lead=leads[0] if leads else "", leads=leads,
            )
        )  # fmt: skip

    return make


@st.composite
def of_scorer(draw: st.DrawFn) -> Maker:
    """Return scores or classes of windows that were handed to another, or to nobody."""
    kind = draw(st.sampled_from(["score", "score", "request"]))
    value = draw(st.sampled_from([0.0, 1e6, -1.0]))
    share = draw(st.sampled_from([1 / len(CLASSES), 1 / len(CLASSES), 1.0]))
    made_up = draw(st.booleans())

    def make(ward: Ward, peer: str) -> bytes:
        ids = [] if made_up else ward.waiting_ids()
        ids = ids or [("a", 0, FS * ward.seconds), ("b-1", 0, 100)]
        n = len(ids)
        scores, residuals = np.full(n, value, "<f4"), np.zeros((n, WINDOW_SAMPLES), "<f4")
        if kind == "request":  # what is for a scorer to receive, not to send
            return encode(Refused(stream="a", reason="over"))
        shares = np.full((n, len(CLASSES)), share, "<f4")
        return encode(
            ScoreReply(
                ids=ids, scores=scores, residuals=residuals, probabilities=shares, compute_ms=0.0
            )
        )

    return make


@st.composite
def of_operator(draw: st.DrawFn) -> Maker:
    """Return a request of the control or the replay socket."""
    stream = draw(st.sampled_from(("", *STREAMS)))[:64]
    n = draw(st.sampled_from([0, 1, 2, 50, 2**62]))
    request = draw(
        st.sampled_from(
            [
                Died(process="hub", code=-9, times=1, token="e" * 32),
                Acknowledge(stream=stream),
                Silence(seconds=60.0),
                Show(seq=max(1, n)),
                State(),
                ReplayRequest(from_seq=n, log_id=stream, link=stream),
            ]
        )
    )
    return lambda ward, peer: encode_json(request)


@st.composite
def of_hub(draw: st.DrawFn) -> Maker:
    """Return what only a hub sends."""
    stream = draw(st.sampled_from(tuple(SESSIONS)))
    written = draw(st.sampled_from([0, 2**40]))
    return lambda ward, peer: encode(
        Accepted(stream=stream, epoch=0, next_sample=0, credit=2**40, written=written, over=True)
    )


@st.composite
def of_nobody(draw: st.DrawFn) -> Maker:
    """Return any bytes, among them a subscription to much."""
    data = draw(st.one_of(st.binary(max_size=200), st.sampled_from([b"\x01" + b"t" * 4_096])))
    return lambda ward, peer: data


@st.composite
def of_sources(draw: st.DrawFn) -> Maker:
    """Return what a source sends, or several messages in one frame."""
    makers = draw(st.lists(of_source(), min_size=1, max_size=3))
    if len(makers) == 1:
        return makers[0]

    def make(ward: Ward, peer: str) -> bytes:
        raw = [msgspec.Raw(one(ward, peer)) for one in makers]
        return msgspec.msgpack.encode({"type": "bundle", "messages": raw})

    return make


MESSAGES: Final[dict[str, st.SearchStrategy[Maker]]] = {
    "ingest": st.one_of(of_sources(), of_source(), of_source(), of_hub(), of_nobody()),
    "work": st.one_of(of_scorer(), of_scorer(), of_source(), of_hub(), of_nobody()),
    "control": st.one_of(of_operator(), of_operator(), of_nobody()),
    "replay": st.one_of(of_operator(), of_operator(), of_nobody()),
    "alerts": st.one_of(of_nobody(), of_operator()),
}
"""What is thrown at each of the hub's sockets."""


@st.composite
def sent_by(draw: st.DrawFn, peer: str) -> tuple[str, Maker, str, int]:
    """Return to which socket a peer sends what, how it is damaged, and where.

    Mostly to the sockets that its key opens: at the others it fails before it can say anything.
    """
    rights = PEERS[peer] or Rights()
    allowed = [name for name in MESSAGES if rights.may_use(name)]
    name = draw(st.sampled_from([*MESSAGES, *allowed * 8]))
    return name, draw(MESSAGES[name]), draw(st.sampled_from(DAMAGE)), draw(st.integers(0, 2_000))
