"""A hub that is killed and comes back at the same addresses, with its scorers and sources."""

import os
import signal
import subprocess
import sys
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
from pipeline.log.reader import LogReader
from pipeline.schema.public import Alert, Status, Trend
from pipeline.schema.trend import recorded_at
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import EmbeddedRunner
from tests.support.paths import PROGRAMS, ROOT
from tests.support.running import CONFIG, TrivialScorer, comparable, thread, until


class HubProcess:
    """A hub as a process, at addresses that stay."""

    def __init__(self, log: Path, *, snapshot_events: int = 16, under: Sequence[str] = ()) -> None:
        """Of ``log``; ``under`` is a command that runs it, as ``strace`` with its options."""
        self.log = log
        self._under = under
        self.restarts = 0
        self.serving_s: list[float] = []
        """How long each start took, from fork to ready."""
        self._addresses = ""
        self._snapshot_events = snapshot_events
        self._process: subprocess.Popen[str] | None = None

    @property
    def endpoints(self) -> dict[str, str]:
        """The addresses by name."""
        names = ("alerts", "replay", "control", "ingest", "work")
        return dict(zip(names, self._addresses.split(","), strict=True))

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        pid = self._process.pid
        if not self._under:
            return pid
        # What runs it keeps signals for itself.
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def start(self, crash: str = "") -> None:
        """Start it, to die at the point ``crash`` (see `hub_process`)."""
        began = time.monotonic()
        arguments = [str(self.log), self._addresses, crash, str(self._snapshot_events)]
        self._process = subprocess.Popen(
            [*self._under, sys.executable, str(PROGRAMS / "hub_process.py"), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        self.serving_s.append(time.monotonic() - began)
        self._addresses = line or self._addresses

    def dead(self) -> bool:
        """Say whether it has died."""
        assert self._process is not None
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        if self._under and not self.dead():
            os.kill(self.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._reap()

    def stop(self) -> int:
        """End it with SIGTERM; return its exit code."""
        assert self._process is not None
        os.kill(self.pid, signal.SIGTERM)
        return self._reap()

    def restart(self, crash: str = "") -> None:
        """Start it again after its death."""
        self._reap()
        self.restarts += 1
        self.start(crash)

    def _reap(self) -> int:
        assert self._process is not None
        code = self._process.wait(timeout=20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


@contextmanager
def scorer_of(hub: HubProcess) -> Iterator[TrivialScorer]:
    """Run a scorer for ``hub`` in a thread."""
    scorer, work = TrivialScorer(), hub.endpoints["work"]
    with thread(lambda stop: run_worker(scorer, model="m", device="cpu", work=work, stop=stop)):
        yield scorer


def feed_stream(
    hub: HubProcess,
    stream: str,
    x: NDArray[np.float32],
    *,
    step: int,
    stop: Callable[[], bool],
    due: Callable[[int], None] = lambda sample: None,
) -> None:
    """Send a whole stream, its end included; ``due`` waits until a sample may be sent."""
    with IngestClient(
        hub.endpoints["ingest"], stream=stream, fs_hz=360.0, lead="", stop=stop
    ) as source:
        for a in range(0, len(x), step):
            due(a)
            if not source.send(SampleBlock(a, x[a : a + step])):
                return
        assert source.finish() or stop()


Expected = tuple[list[tuple[object, ...]], int, list[Trend]]


def oracle(stream: str, x: NDArray[np.float32]) -> Expected:
    """Return what one process without sockets finds in a stream: alerts, beats, and minutes."""
    runner = EmbeddedRunner(stream, 360.0, TrivialScorer(), CONFIG)
    found = list(runner.run([SampleBlock(0, x)]))
    alerts = [comparable(alert) for outcome in found for alert in outcome.alerts]
    trends = [trend for outcome in found for trend in outcome.trends]
    return sorted(alerts, key=repr), runner.counters.beats, trends


class History:
    """What a subscriber to all alerts received, and the checks of T7 on it."""

    def __init__(self, hub: HubProcess) -> None:
        self.alerts: list[Alert] = []
        self.arrived: list[float] = []
        self.statuses: dict[str, Status] = {}
        ends, self._log = hub.endpoints, hub.log
        self.subscriber = Subscriber(ends["alerts"], ends["replay"], from_seq=1, topics=["status/"])

    def receive(self, timeout_s: float = 0.1) -> None:
        """Take in what has arrived."""
        for message in self.subscriber.receive(timeout_s):
            if isinstance(message, Alert):
                self.alerts.append(message)
                self.arrived.append(time.time())
            elif isinstance(message, Status):
                self.statuses[message.stream] = message

    def until_ended(self, streams: Sequence[str], patience_s: float = 60.0) -> None:
        """Receive until all of ``streams`` are over and every alert has arrived."""
        deadline = time.monotonic() + patience_s
        enough: int | None = None
        subscriber = self.subscriber
        while enough is None or subscriber.heartbeats < enough or not subscriber.complete:
            assert time.monotonic() < deadline, f"not over: {self.statuses}"
            self.receive()
            over = all(s in self.statuses and self.statuses[s].ended for s in streams)
            if over and enough is None:
                enough = subscriber.heartbeats + 1

    def check(self, expected: dict[str, Expected]) -> None:
        """Every alert and minute once, numbers without a hole, every stream as undisturbed."""
        assert [a.seq for a in self.alerts] == list(range(1, len(self.alerts) + 1))
        assert len({a.log_id for a in self.alerts}) == 1
        for stream, (alerts, beats, trends) in expected.items():
            with LogReader(self._log) as log:
                recorded = [recorded_at(trend, "") for _, trend in log.trends(stream=stream)]
            assert recorded == trends
            # Alarms about a silent source depend on the time of the kills, not on the signal.
            of_stream = [a for a in self.alerts if a.stream == stream and a.kind != "no_data"]
            assert sorted(map(comparable, of_stream), key=repr) == alerts
            assert self.statuses[stream].beats == beats
            assert self.statuses[stream].pending == 0


def eventually_dead(hub: HubProcess) -> None:
    """Wait until a hub has reached its crash point."""
    waiting = threading.Event()
    until(lambda: hub.dead() or bool(waiting.wait(0.02)))
