"""A hub with keys, two honest sources, a scorer, and peers that do not keep to anything.

Each peer may do something of its own: what its key allows. The honest streams ``a`` and ``b-1`` are
not theirs, though one peer has the key of the first, and another that of the second.
"""

import socket
import zlib
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import zmq
from numpy.typing import NDArray

from pipeline.errors import EndpointError
from pipeline.log.reader import LogReader
from pipeline.schema.messages import Accepted, End, encode
from pipeline.schema.public import Alert
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from pipeline.transport.access_list import Rights
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Dealer
from tests.pipeline.hub.test_hub_survives import all_scored, scored
from tests.support.hub_by_hand import HubByHand, chunk
from tests.support.keys import KeyRing, until
from tests.support.running import CONFIG, TrivialScorer, comparable

FS: Final = 360

SESSIONS: Final = {"a": "a1" * 16, "b-1": "b1" * 16}
"""Of the honest sources, by stream."""

PEERS: Final[dict[str, Rights | None]] = {
    "source of a": Rights(streams=("a",)),
    "source of b-*": Rights(streams=("b-*",)),
    "subscriber": Rights(subscribe=True),
    "scorer": Rights(score=True),
    "stranger": None,
}
"""What the key of each peer may do; None for one that is on no list."""

_LONGEST_TOPIC: Final = 4_096
"""Of a peer in our own process: as a subscriber, libzmq recurses into each byte of a topic."""

Alerts = list[tuple[object, ...]]


class Meddler(Dealer):
    """A subscriber that writes its subscriptions itself."""

    _kind = zmq.XSUB


def undisturbed(x: NDArray[np.float32]) -> dict[str, Alerts]:
    """Return the alerts of the honest streams in one process, without a hub."""
    return {
        name: _sorted(
            [
                alert
                for outcome in EmbeddedRunner(name, float(FS), TrivialScorer(), CONFIG).run(
                    in_blocks(x, FS)
                )
                for alert in outcome.alerts
            ]
        )
        for name in SESSIONS
    }


def _sorted(alerts: list[Alert]) -> Alerts:
    return sorted(map(comparable, alerts), key=repr)


@dataclass
class Thrown:
    """What was thrown at a hub, and what became of it."""

    bytes: int = 0
    frames: int = 0
    at_the_door: int = 0
    """Frames of peers that are not let in at all."""
    by_peer: Counter[str] = field(default_factory=Counter)


class Ward:
    """The hub, and all who connect to it; a context manager."""

    def __init__(self, folder: Path, x: NDArray[np.float32]) -> None:
        """Begin with an empty log; ``x``, float32[n] in mV, is the signal of both streams."""
        self.thrown = Thrown()
        self._blocks = [block.samples for block in in_blocks(x, FS)]
        self._samples = len(x)
        self.seconds = 0
        """Sent of each honest stream."""
        self._connections: dict[tuple[str, str], Dealer] = {}
        with ExitStack() as opened:
            keys = KeyRing(folder)
            self._keys: dict[str, ClientKeys] = {}
            for name, rights in PEERS.items():
                key = name.replace(" ", "_").replace("*", "x")
                self._keys[name] = keys.key(key)
                if rights is not None:
                    keys.allow(key, **{n: getattr(rights, n) for n in Rights.__slots__})
            auth = opened.enter_context(keys.auth())
            self.one = HubByHand(folder / "log", auth=auth)
            self.one.stop_clock()
            opened.callback(self.one.killed)
            self._sources = {
                "a": self.one.connect("ingest", self._keys["source of a"]),
                "b-1": self.one.connect("ingest", self._keys["source of b-*"]),
            }
            self._scorer = self.one.connect("work", self._keys["scorer"])
            until(lambda: all(_up(one, 50) for one in (*self._sources.values(), self._scorer)))
            self.send_second()  # otherwise another source with the key may begin the stream
            self._opened = opened.pop_all()

    @property
    def over(self) -> bool:
        """Whether the whole signal is sent."""
        return self.seconds >= len(self._blocks)

    def send_second(self) -> None:
        """Send a second of each honest stream, and have its beats scored."""
        samples = self._blocks[self.seconds]
        self.seconds += 1
        for name in SESSIONS:
            self._deliver(name, chunk(self.seconds, samples, **_facts(name)))
        self.one.later_s += 0.3
        if self.seconds > 5:  # until then no scorer is there
            scored(self.one, self._scorer)

    def finish(self) -> None:
        """Send what is left, end the honest streams, and have every beat scored."""
        while not self.over:
            self.send_second()
        for name in SESSIONS:
            end = End(next_sample=self._samples, number=self.seconds + 1, **_facts(name))
            self._deliver(name, end)
        all_scored(self.one, self._scorer)
        self.one.turns(3)

    def _deliver(self, name: str, message: Any) -> None:
        """Send as a source of ours does: again until it is in the log."""

        def written() -> bool:
            answer = self.one.request(self._sources[name], message)
            assert isinstance(answer, Accepted), answer
            return answer.written >= message.number

        until(written)

    def pass_a_moment(self) -> None:
        """Let the hub take what was thrown; what comes later, it takes later."""
        self.one.later_s += 0.03
        self.one.turns(2)

    # --- the peers --------------------------------------------------------------------------

    def throw(self, peer: str, socket_name: str, frames: list[bytes]) -> bool:
        """Send a message of any number of parts as ``peer``; return whether it is let in."""
        self.thrown.frames += 1
        self.thrown.bytes += sum(map(len, frames))
        self.thrown.by_peer[peer] += 1
        connection = self._connection(peer, socket_name)
        if socket_name == "alerts":
            frames = [one[:_LONGEST_TOPIC] for one in frames]
        allowed = (PEERS[peer] or Rights()).may_use(socket_name)
        try:
            received = list(connection._frames(1_000))  # raises once the key is refused
            # Subscriptions of a subscriber that is not connected are dropped without a word.
            sent = connection._send(frames) and (allowed or socket_name != "alerts")
        except EndpointError:
            received, sent = [], False
        assert allowed or not (received or sent), f"{peer} is let in at {socket_name}"
        self.thrown.at_the_door += not sent
        return sent

    def throw_plainly(self, socket_name: str, opening: bytes, body: bytes) -> None:
        """Send bytes over TCP, of no protocol or without a key: some, and after an answer more."""
        self.thrown.frames += 1
        self.thrown.bytes += len(opening) + len(body)
        self.thrown.at_the_door += 1
        port = int(self.one.hub.endpoints[socket_name].rpartition(":")[2])
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5.0) as peer:
            peer.sendall(opening)
            peer.recv(4_096)  # libzmq drops what comes together with a greeting
            peer.sendall(body)

    def _connection(self, peer: str, socket_name: str) -> Dealer:
        if (there := self._connections.get((peer, socket_name))) is not None:
            return there
        kind = Meddler if socket_name == "alerts" else Dealer
        made = self.one.connect(socket_name, self._keys[peer], kind)
        self._connections[peer, socket_name] = made
        if (PEERS[peer] or Rights()).may_use(socket_name):
            until(lambda: _up(made, 50))
        return made

    def next_of_a(self) -> bytes:
        """Return the very message that the hub expects of stream ``a``, of other samples."""
        return encode(chunk(self.seconds + 1, **_facts("a")))

    def waiting_ids(self) -> list[tuple[str, int, int]]:
        """Return the windows that wait for a score."""
        return [beat.id for beat in self.one.hub._streams.waiting][:8]

    # --- what became of it ------------------------------------------------------------------

    def state(self) -> dict[str, tuple[object, ...]]:
        """Return of each honest stream how far it is, and of the hub who silenced it."""
        sessions = self.one.hub._streams.sessions
        of_streams = {
            name: (one.state.source_session, one.state.number, one.stream.epoch,
                   one.stream.next_sample, one.ended)
            for name, one in sessions.items() if name in SESSIONS
        }  # fmt: skip
        return of_streams | {"": (self.one.hub._control.silenced_s(0.0),)}

    def expected_state(self) -> dict[str, tuple[object, ...]]:
        """Return what `state` is where nobody does anything else."""
        n = self.seconds
        of_streams: dict[str, tuple[object, ...]] = {
            name: (session, n, 0, min(FS * n, self._samples), False)
            for name, session in SESSIONS.items()
            if n
        }
        return of_streams | {"": (0.0,)}

    def strays(self) -> set[str]:
        """Return the streams that no key allows."""
        names = set(self.one.hub._streams.sessions)
        return {name for name in names if name != "a" and not name.startswith("b-")}

    def alerts(self) -> dict[str, Alerts]:
        """Return the alerts of the honest streams in the log."""
        with LogReader(self.one.log) as reader:
            found = reader.read(1, 100_000)
        assert [alert.seq for alert in found] == list(range(1, len(found) + 1))
        assert not [alert for alert in found if alert.kind == "process_died"]
        return {name: _sorted([one for one in found if one.stream == name]) for name in SESSIONS}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()


def _facts(name: str) -> dict[str, Any]:
    return {"stream": name, "session": SESSIONS[name]}


def _up(dealer: Dealer, wait_ms: int) -> bool:
    return bool(dealer._socket.poll(wait_ms, zmq.POLLOUT))


def damaged(frame: bytes, how: str, at: int) -> list[bytes]:
    """Return the parts of a message that was ``frame`` before somebody changed it."""
    if not frame:
        return [frame]
    at %= len(frame)
    match how:
        case "whole":
            return [frame]
        case "cut":
            return [frame[:at]]
        case "flipped":
            return [frame[:at] + bytes([frame[at] ^ (1 << at % 8)]) + frame[at + 1 :]]
        case "two parts":
            return [frame, frame]
        case "split":
            return [frame[:at], frame[at:], b""]
        case "long":
            return [frame + bytes(1 << 20)]
        case _:
            return [zlib.compress(frame)]
