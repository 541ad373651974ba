"""The second stage over real sockets: classes come late, go missing, and nothing else changes."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.clients.scorer import answer
from pipeline.schema.messages import ClassRequest, Ready, decode, encode
from pipeline.schema.public import BeatNote, Status
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import EmbeddedRunner
from pipeline.transport.sockets import Dealer, wait
from tests.support.running import (
    CONFIG,
    TrivialClassifier,
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


@pytest.fixture(scope="module")
def oracle(demo: NDArray[np.float32]) -> tuple[list[tuple[object, ...]], list[BeatNote]]:
    """Alerts and beats of the demo as one process without sockets finds them."""
    runner = EmbeddedRunner("demo", 360.0, TrivialScorer(), CONFIG, classifier=TrivialClassifier())
    outcomes = list(runner.run([SampleBlock(0, demo)]))
    alerts = sorted((comparable(a) for outcome in outcomes for a in outcome.alerts), key=repr)
    return alerts, [note for outcome in outcomes for note in outcome.beats]


def forgetful(work: str) -> Callable[[Callable[[], bool]], None]:
    """Return a scorer that scores as it should and says nothing when asked for a class."""

    def serve(stop: Callable[[], bool]) -> None:
        ready = encode(Ready(model="m", device="cpu", classifies=True))
        due = 0.0
        with Dealer(connect=work) as hub:
            while not stop():
                if time.monotonic() >= due:
                    hub.send(ready)
                    due = time.monotonic() + 0.25
                wait([hub], 0.05)
                for frame in hub.receive():
                    if not isinstance(decode(frame), ClassRequest):
                        hub.send(encode(answer(TrivialScorer(), None, frame)))

    return serve


def test_classes_through_sockets_are_those_of_one_process(
    tmp_path: Path,
    demo: NDArray[np.float32],
    oracle: tuple[list[tuple[object, ...]], list[BeatNote]],
) -> None:
    """Two streams, two scorers: every anomalous beat is classified once, published in order."""
    classifiers = TrivialClassifier(), TrivialClassifier()
    with (
        running_hub(tmp_path / "log", classify=True) as hub,
        running_worker(hub, classifiers[0]),
        running_worker(hub, classifiers[1]),
        subscriber(hub, topics=("beat/", "status/")) as listener,
    ):
        until(lambda: bool(list(listener.receive(0.1))) or listener.heartbeats > 0)
        feed(hub, "demo", demo)
        feed(hub, "second", demo, step=97)
        received = receive_until_ended(listener, "demo", "second")
    alerts, notes = oracle
    ours = [alert for alert in alerts_of(received) if alert.stream == "demo"]

    assert sorted(map(comparable, ours), key=repr) == alerts
    assert [m for m in received if isinstance(m, BeatNote) and m.stream == "demo"] == notes
    anomalous = [note for note in notes if note.anomalous]
    of_beats = [alert for alert in ours if (alert.kind, alert.state) == ("anomalous_beat", "on")]
    assert {(a.sample, a.beat_class) for a in of_beats} <= {
        (note.sample, note.beat_class) for note in anomalous
    }
    assert len({note.beat_class for note in anomalous}) > 1
    classified = sum(one.windows - 1 for one in classifiers)  # each warmed up with one
    assert classified == 2 * len(anomalous)


def test_class_that_never_comes_is_asked_for_again(
    tmp_path: Path,
    demo: NDArray[np.float32],
    oracle: tuple[list[tuple[object, ...]], list[BeatNote]],
) -> None:
    """A scorer that forgets class requests holds beats back; the next one sets them free."""
    with (
        running_hub(tmp_path / "log", classify=True) as hub,
        subscriber(hub, topics=("beat/", "status/")) as listener,
    ):
        until(lambda: bool(list(listener.receive(0.1))) or listener.heartbeats > 0)
        before: list[object] = []
        with thread(forgetful(hub.endpoints["work"])):
            feed(hub, "demo", demo)

            def asked_again() -> bool:
                before.extend(listener.receive(0.1))
                return any(isinstance(m, Status) and m.redelivered and m.pending for m in before)

            until(asked_again)
        assert not any(isinstance(m, BeatNote) and m.anomalous for m in before)
        with running_worker(hub, TrivialClassifier()):
            after = receive_until_ended(listener, "demo")
    received = [*before, *after]
    alerts, notes = oracle

    assert [m for m in received if isinstance(m, BeatNote)] == notes
    assert sorted((comparable(alert) for alert in alerts_of(received)), key=repr) == alerts


def test_scorer_that_names_no_classes_is_refused_where_they_are_wanted(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """It would hold up every beat behind an anomalous one: the status says that none answers."""
    with (
        running_hub(tmp_path / "log", classify=True) as hub,
        subscriber(hub, topics=("status/",)) as listener,
    ):
        with running_worker(hub) as scorer:
            feed(hub, "demo", demo[:7200])
            until(
                lambda: any(
                    isinstance(m, Status) and m.reason == "no scorer answers" and m.rejected_frames
                    for m in listener.receive(0.1)
                )
            )
            assert scorer.windows == 1  # to warm up
        with running_worker(hub, TrivialClassifier()):
            last = [m for m in receive_until_ended(listener, "demo") if isinstance(m, Status)][-1]
    assert last.pending == 0
    assert last.beats > 10


def test_hub_that_wants_no_classes_asks_for_none(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """The class stays null and no alert waits for it, whatever the scorer could do."""
    classifier = TrivialClassifier()
    with (
        running_hub(tmp_path / "log") as hub,
        running_worker(hub, classifier),
        subscriber(hub, topics=("status/",)) as listener,
    ):
        feed(hub, "demo", demo)
        alerts = alerts_of(receive_until_ended(listener, "demo"))
    assert len(alerts) > 10
    assert {alert.beat_class for alert in alerts} == {None}
    assert classifier.windows == 1  # to warm up
