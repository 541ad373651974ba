"""A cluster for tests: brokers, gateways and workers as processes, sources in threads.

The brokers are librdkafka's mock cluster, over loopback; where ``$MONITOR_BROKERS`` names real ones
(`compose.yaml`), the same tests can use those.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.kafka.cluster import LEAVE_S
from monitor.run.processes import child_command
from pipeline.clients.ingest import IngestClient
from pipeline.kafka.alerts import AlertReader, Positions, ReadAlert
from pipeline.kafka.brokers import Cluster
from pipeline.kafka.topics import Topics
from pipeline.schema.public import Alert, BeatNote
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner, StreamOutput
from tests.support.paths import PROGRAMS, ROOT
from tests.support.running import CONFIG, DEADLINE_S, TrivialScorer, comparable, until

REAL = os.environ.get("MONITOR_BROKERS", "")
"""Addresses of real brokers; empty for none."""

needs_real_brokers = pytest.mark.skipif(
    not REAL,
    reason="needs real brokers: compose.yaml, profile kafka, then MONITOR_BROKERS=127.0.0.1:19092",
)

FS = 360
LEADS = ("II", "V5")
PARTITIONS = 4

QUICK = {"session.timeout.ms": "6000" if REAL else "2000", "heartbeat.interval.ms": "300"}
"""So that a test takes seconds: a worker that is silent for so long has lost its partitions. Real
brokers take no less than six, unless ``group.min.session.timeout.ms`` says so."""


WRITTEN_S = 300.0
"""A source that has no answer for so long has lost its gateway: one may be stopped meanwhile."""


class Brokers:
    """The brokers, and the topics of one test in them; a context manager."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        """Start the mock cluster, or use the real one under names of its own."""
        self.topics = Topics(f"test-{uuid.uuid4().hex[:12]}")
        self._process: subprocess.Popen[str] | None = None
        if REAL:
            self.addresses = REAL
            self.cluster.create_topics(partitions, 3)
            return
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "kafka_brokers.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.addresses = self._process.stdout.readline().strip()
        for name in self.topics.settings():
            self.order(f"topic {name} {partitions}")

    @property
    def cluster(self) -> Cluster:
        """The cluster, as a client of it has it."""
        return Cluster(brokers=self.addresses, topics=self.topics, settings=dict(QUICK))

    def order(self, command: str) -> None:
        """Carry out a command of `kafka_brokers`."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == "0", command

    def fall_silent(self) -> None:
        """Let the brokers of the mock cluster keep their connections, and answer no more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


class Process:
    """A process whose lines on stdout are read; a context manager that ends it."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            # Ctrl-C as in a terminal, though tests in the background inherit that it is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self._process.stdout, self.lines), (self._process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()
        self._lines_come = threading.Event()

    def _read(self, pipe: Iterator[str], lines: list[str]) -> None:
        for line in pipe:
            lines.append(line.strip())

    def wait_for(self, done: Callable[[list[str]], bool]) -> None:
        """Wait until its lines are such."""

        def said() -> bool:
            assert self._process.poll() is None or done(self.lines), self.errors
            return done(self.lines) or self._lines_come.wait(0.02)

        until(said)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
        code = self._process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end(signal.SIGKILL)


class WorkerProcess(Process):
    """A worker that scores trivially."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        snapshot_s: float = 0.5,
        version: str = "1",
        screens: bool = False,
        leave_s: float = LEAVE_S,
    ) -> None:
        """Start it."""
        ours = {"snapshot_s": snapshot_s, "version": version, "screens": screens}
        settings = QUICK | ours | {"leave_s": leave_s}
        arguments = [brokers.addresses, brokers.topics.prefix, json.dumps(settings)]
        super().__init__(
            [sys.executable, str(PROGRAMS / "kafka_worker.py"), *arguments],
            os.environ | {"PYTHONPATH": str(ROOT)},
        )

    @property
    def owned(self) -> list[int]:
        """The partitions that it has, as it said last."""
        said = [line for line in self.lines if line.startswith("[")]
        return list(json.loads(said[-1])) if said else []

    def wait_owned(self, count: int) -> None:
        """Wait until it has so many partitions."""
        self.wait_for(lambda lines: len(self.owned) == count)


class Command(Process):
    """A ``monitor`` command that serves a cluster, as a person starts it."""

    def __init__(self, words: Sequence[str], brokers: Brokers, *, wait: bool = True) -> None:
        """Start it, and wait until it is ready, if asked to."""
        cluster = ["--kafka", brokers.addresses, "--prefix", brokers.topics.prefix]
        # A test that fails ends it, too: it ends with this process.
        command, environment = child_command([*words, *cluster, "--parent", str(os.getpid())])
        super().__init__(command, environment)
        if wait:
            self.wait_for(lambda lines: any('"ready"' in line for line in lines))

    @property
    def ready(self) -> dict[str, Any]:
        """What it said when it was ready."""
        return dict(json.loads(next(line for line in self.lines if '"ready"' in line)))


class GatewayProcess(Command):
    """A gateway."""

    def __init__(
        self, brokers: Brokers, ingest: str = "tcp://127.0.0.1:0", further: Sequence[str] = ()
    ) -> None:
        """Start it with ``further`` words, and wait until it listens."""
        super().__init__(["gateway", "--ingest", ingest, *further], brokers)
        self.ingest: str = self.ready["ingest"]


class Feed:
    """A record that is sent from a thread, in real time by ``speed`` or as fast as it goes."""

    def __init__(
        self, ingest: str, stream: str, x: NDArray[np.float32], *, speed: float | None = None,
        end: bool = True,
    ) -> None:  # fmt: skip
        """Begin to send."""
        self._stopped = threading.Event()
        self.sent = 0
        self.failure: BaseException | None = None
        self._work = (ingest, stream, x, speed, end)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        ingest, stream, x, speed, end = self._work
        try:
            with IngestClient(
                ingest, stream=stream, fs_hz=float(FS), lead="II", stop=self._stopped.is_set
            ) as source:
                began = time.monotonic()
                for block in in_blocks(x, FS // 2):
                    if speed is not None:
                        due = began + block.end / (FS * speed)
                        self._stopped.wait(max(0.0, due - time.monotonic()))
                    if not source.send(block):
                        return
                    self.sent = block.end
                if end:
                    assert source.finish(WRITTEN_S), f"the end of {stream} is not in the log"
                else:
                    while not self._stopped.wait(0.05):
                        source.pump()
        except BaseException as error:
            self.failure = error

    @property
    def alive(self) -> bool:
        """Whether it sends."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for the end; raise what it raised."""
        self._thread.join(DEADLINE_S)
        self.stop()

    def stop(self) -> None:
        """Stop it, as if its process ended; raise what it raised."""
        self._stopped.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure


def signal_of(seed: int, seconds: int, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``seconds`` of a record from another place for each seed."""
    first = (seed * 7 * FS) % (len(x) - seconds * FS)
    return np.ascontiguousarray(x[first : first + seconds * FS])


def embedded(stream: str, x: NDArray[np.float32]) -> list[Alert]:
    """Return the alerts of a stream in one process."""
    return [alert for outcome in _outcomes(stream, x) for alert in outcome.alerts]


def embedded_beats(stream: str, x: NDArray[np.float32]) -> list[BeatNote]:
    """Return the beats of a stream in one process."""
    return [note for outcome in _outcomes(stream, x) for note in outcome.notes]


def _outcomes(stream: str, x: NDArray[np.float32]) -> Iterator[StreamOutput]:
    """Run a stream of lead II, float32[n], or of the two `LEADS`, float32[2, n]."""
    leads = LEADS if x.ndim > 1 else LEADS[:1]
    runner = EmbeddedRunner(stream, float(FS), TrivialScorer(), CONFIG, leads=leads)
    return runner.run(in_blocks(x, FS))


def compared(alerts: Sequence[Alert]) -> list[tuple[object, ...]]:
    """Return what has to be the same, of all alerts but those of the clock."""
    return sorted((comparable(one) for one in alerts if one.kind != "no_data"), key=repr)


@contextmanager
def reading(brokers: Brokers, positions: Positions | None = None) -> Iterator["Collected"]:
    """Read the alerts of a cluster from the beginning, or from positions."""
    with AlertReader(brokers.cluster, positions) as reader:
        yield Collected(reader)


class Collected:
    """The alerts that were read."""

    def __init__(self, reader: AlertReader) -> None:
        """Begin with none."""
        self.reader = reader
        self.read: list[ReadAlert] = []

    @property
    def alerts(self) -> list[Alert]:
        """All of them."""
        return [one.alert for one in self.read]

    def of(self, stream: str) -> list[Alert]:
        """Return those of a stream."""
        return [alert for alert in self.alerts if alert.stream == stream]

    def until(self, done: Callable[[], bool]) -> None:
        """Read until it is so."""

        def read() -> bool:
            self.read += self.reader.read(0.05)
            return done()

        until(read)

    def until_over(self, expected: dict[str, list[tuple[object, ...]]]) -> None:
        """Read until as many alerts of each stream are there, not counting those of the clock."""
        self.until(lambda: all(len(compared(self.of(n))) >= len(e) for n, e in expected.items()))
