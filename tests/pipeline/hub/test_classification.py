"""Score and class of every beat over real sockets, in one request; older scorers are refused."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.schema.messages import SCORING_VERSION
from pipeline.schema.public import BeatNote, Status
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import EmbeddedRunner
from pipeline.transport.sockets import Dealer, wait
from tests.support.running import (
    CONFIG,
    TrivialScorer,
    alerts_of,
    comparable,
    feed,
    receive_until_ended,
    running_hub,
    running_worker,
    subscriber,
    thread,
    until,
)

pytestmark = pytest.mark.system

OLD_READY = msgspec.msgpack.encode(
    {"type": "ready", "model": "student-old", "device": "cpu", "credit": 2, "classifies": True}
)
"""What a scorer of the release before sent, which was asked for scores and classes apart."""


def older(work: str, received: list[bytes]) -> Callable[[Callable[[], bool]], None]:
    """Return a scorer of the release before that keeps what it is sent."""

    def serve(stop: Callable[[], bool]) -> None:
        due = 0.0
        with Dealer(connect=work) as hub:
            while not stop():
                if time.monotonic() >= due:
                    hub.send(OLD_READY)
                    due = time.monotonic() + 0.25
                wait([hub], 0.05)
                received.extend(hub.receive())

    return serve


def test_classes_through_sockets_are_those_of_one_process(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Two streams, two scorers: every analysable beat goes out once, and has its class."""
    runner = EmbeddedRunner("demo", 360.0, TrivialScorer(), CONFIG, leads=["II"])
    outcomes = list(runner.run([SampleBlock(0, demo)]))
    alerts = sorted((comparable(a) for outcome in outcomes for a in outcome.alerts), key=repr)
    notes = [note for outcome in outcomes for note in outcome.notes]
    with (
        running_hub(tmp_path / "log") as hub,
        running_worker(hub) as one,
        running_worker(hub) as other,
        subscriber(hub, topics=("beat/", "status/")) as listener,
    ):
        until(lambda: bool(list(listener.receive(0.1))) or listener.heartbeats > 0)
        feed(hub, "demo", demo)
        feed(hub, "second", demo, step=97)
        received = receive_until_ended(listener, "demo", "second")
        scored = one.windows + other.windows - 2  # each warmed up with one
    ours = [alert for alert in alerts_of(received) if alert.stream == "demo"]

    assert sorted(map(comparable, ours), key=repr) == alerts
    assert [m for m in received if isinstance(m, BeatNote) and m.stream == "demo"] == notes
    analysable = [note for note in notes if note.analysable]
    assert scored == 2 * len(analysable)
    assert {note.beat_class for note in analysable} > {"N"}


def test_second_lead_goes_through_sockets(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """Beats of two leads, beside a stream of one, have the classes that one process gives them."""
    leads = ["II", "V1"]
    both = np.stack([demo, -0.5 * demo + 0.1 * np.roll(demo, 5)])[:, : 360 * 30]
    runner = EmbeddedRunner("two", 360.0, TrivialScorer(), CONFIG, leads=leads)
    notes = [note for one in runner.run([SampleBlock(0, both)]) for note in one.notes]
    with (
        running_hub(tmp_path / "log") as hub,
        running_worker(hub),
        subscriber(hub, topics=("beat/", "status/")) as listener,
    ):
        until(lambda: bool(list(listener.receive(0.1))) or listener.heartbeats > 0)
        feed(hub, "one", both[0])
        feed(hub, "two", both, leads=leads)
        received = receive_until_ended(listener, "one", "two")
    found = [m for m in received if isinstance(m, BeatNote) and m.stream == "two"]

    assert found == notes
    assert [note.class_leads for note in notes if note.analysable].count(leads) > 10
    assert not any(m.class_leads for m in received if isinstance(m, BeatNote) and m.stream == "one")


def test_scorer_of_an_older_release_is_refused_by_name(
    tmp_path: Path, demo: NDArray[np.float32], caplog: pytest.LogCaptureFixture
) -> None:
    """It gets no window, and the status says that none answers; another scorer goes on."""
    received: list[bytes] = []
    with (
        running_hub(tmp_path / "log") as hub,
        subscriber(hub, topics=("status/",)) as listener,
    ):
        with thread(older(hub.endpoints["work"], received)):
            feed(hub, "demo", demo[:7200])
            until(
                lambda: any(
                    isinstance(m, Status) and m.reason == "no scorer answers" and m.rejected_frames
                    for m in listener.receive(0.1)
                )
            )
        assert received == []
        versions = f"requests of version 1, this hub sends version {SCORING_VERSION}"
        assert f"student-old answers {versions}" in caplog.text
        with running_worker(hub):
            last = [m for m in receive_until_ended(listener, "demo") if isinstance(m, Status)][-1]
    assert last.pending == 0
    assert last.beats > 10
