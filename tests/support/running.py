"""A hub, a scorer and subscribers in threads of the test, over real sockets on loopback."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.client import Subscriber
from pipeline.clients.ingest import IngestClient
from pipeline.clients.scorer import run_worker
from pipeline.constants import MAX_STREAMS, WINDOW_SAMPLES
from pipeline.hub.config import HubConfig
from pipeline.hub.hub import Hub, OnReport
from pipeline.schema.public import Alert, Public, Status
from pipeline.scoring.live_score import COMPONENTS, LiveScoreConfig, Scale
from pipeline.scoring.protocols import ScoredBatch
from pipeline.signal.samples import SampleBlock

DEADLINE_S = 60.0
SUPERVISOR = "f" * 32
"""The secret of the supervisor of every hub of the tests."""

CONFIG = LiveScoreConfig(
    scales={name: Scale(median=-2.0, p95=0.5) for name in COMPONENTS},
    threshold=3.0,
    learning_threshold=2.0,
)


class TrivialScorer:
    """Scores by the window and classifies by window and measures; counts the windows."""

    def __init__(self) -> None:
        self.windows = 0

    def score(
        self,
        windows: NDArray[np.float32],
        measures: NDArray[np.float32],
        second: NDArray[np.float32] | None = None,
    ) -> ScoredBatch:
        """Return how much each window changes in 3 ticks, and a class that follows from sums."""
        self.windows += len(windows)
        residuals = windows - np.roll(windows, 3, axis=1)
        scores = np.mean(np.square(residuals, dtype=np.float64), axis=1) + 1e-3
        sums = windows.reshape(-1, 4, WINDOW_SAMPLES // 4).sum(axis=2) + measures[:, 1:5]
        sums += 0.0 if second is None else second[:, 1:5]
        weights = np.square(np.sin(sums, dtype=np.float64)) + 1e-3
        return ScoredBatch(
            scores=scores.astype(np.float32),
            residuals=residuals,
            probabilities=(weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
        )


def until(done: Callable[[], bool]) -> None:
    """Call ``done``, which waits for events itself, until it says so; fail after a minute."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, "nothing happened"


@contextmanager
def thread(work: Callable[[Callable[[], bool]], None]) -> Iterator[None]:
    """Run ``work(stop)`` beside the test; what it raises is raised at the end."""
    stopped = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work(stopped.is_set)
        except BaseException as error:
            failures.append(error)

    runner = threading.Thread(target=run)
    runner.start()
    try:
        yield
    finally:
        stopped.set()
        runner.join(DEADLINE_S)
        assert not runner.is_alive()
        if failures:
            raise failures[0]


@contextmanager
def running_hub(
    log: Path,
    *,
    resume: bool = True,
    max_streams: int = MAX_STREAMS,
    on_report: OnReport = lambda report, statuses: None,
    port: int = 0,
) -> Iterator[Hub]:
    """Run a hub in a thread; its sockets and its log belong to that thread alone.

    It has any ports, or ``port`` for the alerts and those above, as a subscriber expects them.
    """
    names = ("alerts", "replay", "control")
    config = HubConfig(
        **{name: f"tcp://127.0.0.1:{port and port + n}" for n, name in enumerate(names)},
        log=log,
        live_score=CONFIG,
        resume=resume,
        max_streams=max_streams,
        supervisor=SUPERVISOR,
    )
    begun: queue.Queue[Hub] = queue.Queue()

    def serve(stop: Callable[[], bool]) -> None:
        with Hub(config, time.monotonic, on_report) as hub:
            begun.put(hub)
            hub.run(stop)

    with thread(serve):
        yield begun.get(timeout=DEADLINE_S)


@contextmanager
def running_worker(hub: Hub) -> Iterator[TrivialScorer]:
    """Run a scorer for ``hub`` in a thread."""
    scorer = TrivialScorer()
    work = hub.endpoints["work"]
    with thread(lambda stop: run_worker(scorer, model="m", device="cpu", work=work, stop=stop)):
        yield scorer


def subscriber(hub: Hub, *, from_seq: int | None = 1, topics: tuple[str, ...] = ()) -> Subscriber:
    """Return a subscriber to ``hub``."""
    ends = hub.endpoints
    return Subscriber(ends["alerts"], ends["replay"], from_seq=from_seq, topics=topics)


def ingest_client(
    hub: Hub, stream: str, fs_hz: float = 360.0, leads: Sequence[str] = ("II",)
) -> IngestClient:
    """Return a source's connection that gives up after the test's patience."""
    until_s = time.monotonic() + DEADLINE_S
    return IngestClient(
        hub.endpoints["ingest"],
        stream=stream,
        fs_hz=fs_hz,
        lead=leads[0],
        leads=leads if len(leads) > 1 else (),
        stop=lambda: time.monotonic() > until_s,
    )


def feed(
    hub: Hub,
    stream: str,
    x: NDArray[np.float32],
    *,
    epoch: int = 0,
    step: int = 3600,
    leads: Sequence[str] = ("II",),
) -> None:
    """Send a whole stream, float32[n] or float32[leads, n], its end included."""
    with ingest_client(hub, stream, leads=leads) as source:
        for a in range(0, x.shape[-1], step):
            assert source.send(SampleBlock(a, x[..., a : a + step], epoch=epoch))
        assert source.finish()


def receive_until_ended(listener: Subscriber, *streams: str) -> list[Public]:
    """Return everything up to the end of ``streams``, every alert included."""
    received: list[Public] = []
    enough: list[int] = []

    def done() -> bool:
        received.extend(listener.receive(0.1))
        ended = {m.stream for m in received if isinstance(m, Status) and m.ended}
        if not enough and ended >= set(streams):
            enough.append(listener.heartbeats + 1)
        return bool(enough) and listener.heartbeats >= enough[0] and listener.complete

    until(done)
    return received


def alerts_of(received: list[Public]) -> list[Alert]:
    """Return the alerts among the messages."""
    return [message for message in received if isinstance(message, Alert)]


def comparable(alert: Alert) -> tuple[object, ...]:
    """Return what has to be the same however an alert came about."""
    apart = {"seq", "log_id", "utc", "latency_ms"}
    return tuple(
        repr(getattr(alert, name)) for name in Alert.__struct_fields__ if name not in apart
    )
