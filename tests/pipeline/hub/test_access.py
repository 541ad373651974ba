"""A whole hub that asks for keys: what each may do, and that a revocation works on what is open."""

import itertools
import queue
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.client import Subscriber, ask
from pipeline.clients.ingest import IngestClient
from pipeline.clients.scorer import run_worker
from pipeline.errors import AuthenticationError, EndpointError
from pipeline.hub.config import HubConfig
from pipeline.hub.hub import Hub, OnReport
from pipeline.schema.messages import Accepted, Chunk, Hello, Message, Refused, decode, encode
from pipeline.schema.public import SystemReport
from pipeline.schema.requests import Acknowledge, Died, Show, Silence, State
from pipeline.signal.samples import SampleBlock
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Dealer, wait
from replay.headers import DEMO_RECORD
from replay.records import RecordSource
from tests.support.keys import KeyRing, deliver
from tests.support.limits import promised
from tests.support.running import (
    CONFIG,
    DEADLINE_S,
    TrivialScorer,
    alerts_of,
    receive_until_ended,
    thread,
    until,
)

pytestmark = pytest.mark.system

CHUNK = Chunk(stream="bed", first_sample=0, fs_hz=360.0, samples=np.zeros(36, "<f4"))

SOON_S = 1.0
"""Within which a revocation has to work."""


@contextmanager
def guarded_hub(
    key_ring: KeyRing, log: Path, on_report: OnReport = lambda report, statuses: None
) -> Iterator[Hub]:
    """Run a hub that asks for keys in a thread."""
    begun: queue.Queue[Hub] = queue.Queue()

    def serve(stop: Callable[[], bool]) -> None:
        with key_ring.auth() as auth:
            config = HubConfig(log=log, live_score=CONFIG, auth=auth)
            with Hub(config, time.monotonic, on_report) as hub:
                begun.put(hub)
                hub.run(stop)

    with thread(serve):
        yield begun.get(timeout=DEADLINE_S)


@contextmanager
def scorer(hub: Hub, keys: ClientKeys) -> Iterator[None]:
    """Run a scorer with a key."""

    def work(stop: Callable[[], bool]) -> None:
        run_worker(
            TrivialScorer(),
            model="m",
            device="cpu",
            work=hub.endpoints["work"],
            stop=stop,
            keys=keys,
        )

    with thread(work):
        yield


def ingest_client(hub: Hub, keys: ClientKeys | None, stream: str) -> IngestClient:
    """Return a source's connection that gives up after the test's patience."""
    until_s = time.monotonic() + DEADLINE_S
    return IngestClient(
        hub.endpoints["ingest"],
        stream=stream,
        fs_hz=360.0,
        lead="II",
        stop=lambda: time.monotonic() > until_s,
        keys=keys,
    )


def feed(hub: Hub, keys: ClientKeys | None, stream: str, x: NDArray[np.float32]) -> None:
    """Send a whole stream, its end included."""
    with ingest_client(hub, keys, stream) as source:
        assert source.handshake() is not None
        for a in range(0, len(x), 3600):
            assert source.send(SampleBlock(a, x[a : a + 3600]))
        assert source.finish()


def rows(log: Path) -> int:
    """Return the number of the newest event in a log; snapshots replace those before them."""
    with closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True)) as reader:
        both = "SELECT n FROM journal UNION SELECT n FROM snapshot"
        (newest,) = reader.execute(f"SELECT ifnull(max(n), 0) FROM ({both})").fetchone()
    return int(newest)


def answer(dealer: Dealer, message: Message) -> Message:
    """Send a message and return the hub's answer to it."""
    deliver(dealer, encode(message))
    answers: list[Message] = []

    def answered() -> bool:
        wait([dealer], 0.1)
        answers.extend(decode(frame) for frame in dealer.receive())
        return bool(answers)

    until(answered)
    return answers[-1]


def test_a_system_with_keys_delivers(key_ring: KeyRing, tmp_path: Path) -> None:
    """Source, scorer and subscriber, each with a key for its own part, do what they do without."""
    source = key_ring.allowed_key("source", streams=("demo*",))
    scores = key_ring.allowed_key("scorer", score=True)
    reader = key_ring.allowed_key("reader", subscribe=True)
    blocks = RecordSource(DEMO_RECORD, speed=None).blocks()
    demo = np.concatenate([block.samples for block in blocks if block is not None])
    with guarded_hub(key_ring, tmp_path / "log") as hub, scorer(hub, scores):
        ends = hub.endpoints
        with Subscriber(
            ends["alerts"], ends["replay"], from_seq=1, topics=("status/",), keys=reader
        ) as listener:
            feed(hub, source, "demo", demo)
            assert alerts_of(receive_until_ended(listener, "demo"))


def test_a_key_sends_its_streams_and_no_other(key_ring: KeyRing, tmp_path: Path) -> None:
    """A stream of another name is refused with the reason, asked for or sent; nothing is kept."""
    keys = key_ring.allowed_key("source", streams=("bed",))
    log = tmp_path / "log"
    with guarded_hub(key_ring, log) as hub:
        with Dealer(hub.endpoints["ingest"], keys=keys) as source:
            for message in (
                msgspec.structs.replace(CHUNK, stream="bed2"),
                Hello(stream="other", session="0" * 32),
            ):
                refused = answer(source, message)
                assert isinstance(refused, Refused)
                assert "keys list" in refused.reason
            assert rows(log) == 0
            accepted = answer(source, CHUNK)
            assert isinstance(accepted, Accepted)
            assert accepted.next_sample == 36
        with pytest.raises(EndpointError, match="may not send"):
            feed(hub, keys, "bed2", np.zeros(360, np.float32))


@promised(SOON_S)
def test_no_row_of_a_revoked_key_is_accepted(
    key_ring: KeyRing, tmp_path: Path, limit_s: float
) -> None:
    """Within a second, though its connection stays and it goes on sending."""
    keys = key_ring.allowed_key("source", streams=("bed",))
    log, reports = tmp_path / "log", list[SystemReport]()
    with (
        guarded_hub(key_ring, log, lambda report, statuses: reports.append(report)) as hub,
        Dealer(hub.endpoints["ingest"], keys=keys) as source,
    ):
        assert isinstance(answer(source, CHUNK), Accepted)
        key_ring.revoke("source")
        revoked_at = grew_at = time.monotonic()
        last, position = rows(log), 36

        def refused() -> bool:
            nonlocal position, last, grew_at
            assert source.send(encode(msgspec.structs.replace(CHUNK, first_sample=position)))
            position += 36
            wait([source], 0.02)
            list(source.receive())
            if (now := rows(log)) > last:
                grew_at, last = time.monotonic(), now
            return reports[-1].rejected_frames > 0 if reports else False

        until(refused)
        assert grew_at - revoked_at < limit_s
        settled = last
        assert all(refused() for _ in range(20))
        assert last == settled < position // 36


def test_the_source_of_a_revoked_key_gets_an_error(key_ring: KeyRing, tmp_path: Path) -> None:
    """It ends with the reason instead of sending on without effect."""
    keys = key_ring.allowed_key("source", streams=("bed",))
    x = np.zeros(36, np.float32)
    with guarded_hub(key_ring, tmp_path / "log") as hub, ingest_client(hub, keys, "bed") as source:
        assert source.handshake() is not None
        assert source.send(SampleBlock(0, x))
        key_ring.revoke("source")
        positions = itertools.count(36, 36)
        with pytest.raises(EndpointError, match="refuses the key"):
            until(lambda: not source.send(SampleBlock(next(positions), x)))


def test_old_chunks_in_a_new_session_add_no_row(key_ring: KeyRing, tmp_path: Path) -> None:
    """An allowed key that sends again what the hub has changes nothing: the place decides."""
    keys = key_ring.allowed_key("source", streams=("bed",))
    log = tmp_path / "log"
    chunks = [
        msgspec.structs.replace(
            CHUNK, first_sample=36 * number, session="0" * 32, number=number + 1
        )
        for number in range(20)
    ]
    with guarded_hub(key_ring, log) as hub:
        with Dealer(hub.endpoints["ingest"], keys=keys) as source:
            for chunk in chunks:
                assert isinstance(answer(source, chunk), Accepted)
        before = rows(log)
        with Dealer(hub.endpoints["ingest"], keys=keys) as again:
            for chunk in [*chunks, *reversed(chunks)]:
                accepted = answer(again, chunk)
                assert isinstance(accepted, Accepted)
                assert accepted.next_sample == 720
        assert rows(log) == before


def test_control_is_for_those_who_may(key_ring: KeyRing, tmp_path: Path) -> None:
    """Reading is not acknowledging: each request is asked for its own right."""
    reader = key_ring.allowed_key("reader", subscribe=True)
    nurse = key_ring.allowed_key("nurse", subscribe=True, control=True)
    with guarded_hub(key_ring, tmp_path / "log") as hub:
        control = hub.endpoints["control"]
        for request in (Acknowledge(), Silence(seconds=10.0)):
            assert "may not" in ask(control, request, keys=reader).error
            assert not ask(control, request, keys=nurse).error
            # It is for a supervisor, which shows no key: its hub is on this machine alone.
            assert (
                "may not" in ask(control, Died(process="hub", code=-9, times=1), keys=nurse).error
            )
        for keys in (reader, nurse):
            assert "no alert" in ask(control, Show(seq=1), keys=keys).error
            assert ask(control, State(), keys=keys).system is not None


def test_a_hub_whose_guard_fails_stops_serving(key_ring: KeyRing, tmp_path: Path) -> None:
    """A failed self-test ends the hub's loop with one line that says why."""
    with key_ring.auth() as auth:
        config = HubConfig(log=tmp_path / "log", live_score=CONFIG, auth=auth)
        with Hub(config, time.monotonic) as hub:
            auth._failure = "planted"
            with pytest.raises(AuthenticationError, match="planted"):
                hub.run(lambda: False)
