"""A cluster is struck at random: its alerts are compared with those of one process.

Gateway, workers and bridge are killed, stopped for a while and started twice, brokers refuse and go
away, while alarms begin and end. A subscriber of the bridge and a reader that goes on from its
positions must each have every alert once. `no_data` is left out: it depends on the moments. The
same seed gives the same strikes, at about the same moments.
"""

import contextlib
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluation.report.tables import Table
from pipeline.client import Subscriber
from pipeline.errors import MonitorError
from pipeline.kafka.alerts import AlertReader, positions_of, positions_text
from pipeline.schema.public import Alert, decode_alert
from replay.headers import DEMO_RECORD
from replay.records import RecordSource
from tests.support.kafka import (
    FS,
    REAL,
    Brokers,
    Command,
    Feed,
    GatewayProcess,
    Process,
    WorkerProcess,
    compared,
    embedded,
    signal_of,
)
from tests.support.ports import free_ports

STREAMS: Final = ("a", "b", "d", "e", "g", "h")
"""In every partition there is one at least."""

SPEED: Final = 8.0
"""Times real time."""

MOST_WORKERS: Final = 3
PATIENCE_S: Final = 120.0
"""A run that has not all alerts so long after its last strike has lost one."""

REFUSALS: Final = (
    "errors 0 6 7 19 -195", "errors 1 6 7", "errors 8 15 16 27", "errors 9 15 16", "errors 11 15",
    "errors 2 6 7", "errors 3 7",
)  # fmt: skip
"""Of messages, fetches, commits, questions for them, members, offsets and topics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Of a run."""

    seconds: int
    """Of each stream,"""
    pause_s: tuple[float, float]
    """between two strikes,"""
    longest_stop_s: float
    """and of a stopped process."""


SHORT: Final = Length(seconds=24, pause_s=(0.1, 0.3), longest_stop_s=2.5)
LONG: Final = Length(seconds=240, pause_s=(0.1, 2.5), longest_stop_s=30.0)


@dataclass
class Figures:
    """Of all runs."""

    runs: int = 0
    strikes: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    missing: int = 0
    extra: int = 0
    gaps: int = 0
    """Runs whose subscriber's alerts are not numbered one after the other."""
    failed: list[str] = field(default_factory=list)
    """Runs that did not end in order, or had other alerts, each in a line."""


def until(done: Callable[[], bool], within_s: float) -> bool:
    """Call ``done``, which waits for events itself, until it is true; return whether it became."""
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            return False
    return True


class System:
    """A cluster with everything around it, what is read of it, and the strikes at it."""

    def __init__(self, folder: Path, chance: random.Random, length: Length) -> None:
        """Start it."""
        self._chance, self._length = chance, length
        self._opened = contextlib.ExitStack()
        self.strikes: Counter[str] = Counter()
        self.brokers = self._opened.enter_context(Brokers())
        self._port, self._log = free_ports(), folder / "bridge.sqlite"
        self._woken_at: dict[Process, float] = {}
        self.workers = [self._worker() for _ in range(2)]
        self.gateway: Command = self._opened.enter_context(GatewayProcess(self.brokers))
        self._ingest: str = self.gateway.ready["ingest"]
        self.bridge = self._bridge()
        self._subscriber = self._opened.enter_context(
            Subscriber(f"tcp://127.0.0.1:{self._port}", from_seq=1)
        )
        self._reader = AlertReader(self.brokers.cluster)
        self._opened.callback(lambda: self._reader.close())
        self.subscribed: list[Alert] = []
        self.read: list[Alert] = []
        self._opened.callback(self._wake_all)

    def _worker(self) -> WorkerProcess:
        return self._opened.enter_context(WorkerProcess(self.brokers, snapshot_s=1.0))

    def _bridge(self) -> Command:
        words = ["bridge", "kafka", "--log", str(self._log), "--port", str(self._port)]
        return self._opened.enter_context(Command(words, self.brokers, wait=False))

    def listen(self) -> None:
        """Take what subscriber and reader have, for a moment; wake what has slept enough."""
        self.subscribed += [m for m in self._subscriber.receive(0.02) if isinstance(m, Alert)]
        self.read += [one.alert for one in self._reader.read(0.02)]
        now = time.monotonic()
        for process in [one for one, at in self._woken_at.items() if now >= at]:
            self._wake(process)

    # --- strikes -----------------------------------------------------------------------------

    def strike(self) -> None:
        """Do one thing that may happen to a cluster, at random.

        Raises:
            AssertionError: a process died by itself; a strike at it would hide that.
        """
        self.check_processes()
        name = self._chance.choice(tuple(_STRIKES))
        if _STRIKES[name](self):
            self.strikes[name] += 1

    def _awake(self) -> list[WorkerProcess]:
        return [one for one in self.workers if one not in self._woken_at]

    def kill_worker(self) -> bool:
        """Kill one, asleep or not; another one starts in its place."""
        worker = self._chance.choice(self.workers)
        self._woken_at.pop(worker, None)
        worker.end(signal.SIGKILL)
        self.workers[self.workers.index(worker)] = self._worker()
        return True

    def stop_worker(self) -> bool:
        """Stop one that is awake, for a while."""
        awake = self._awake()
        return bool(awake) and self._stop(self._chance.choice(awake))

    def add_worker(self) -> bool:
        """Start another one: partitions move to it, also in an alarm."""
        if len(self.workers) == MOST_WORKERS:
            return False
        self.workers.append(self._worker())
        return True

    def end_worker(self) -> bool:
        """Let one end in order, the last one never."""
        begun = [one for one in self._awake() if one.lines]
        if len(self.workers) == 1 or not begun:
            return False
        worker = self._chance.choice(begun)
        self.workers.remove(worker)
        code = worker.end()
        assert code == 0, f"a worker ended with {code}: {worker.errors[-1:]}"
        return True

    def kill_gateway(self) -> bool:
        """Kill it; another one listens at its address."""
        self._woken_at.pop(self.gateway, None)
        self.gateway.end(signal.SIGKILL)
        self.gateway = self._opened.enter_context(GatewayProcess(self.brokers, self.gateway.ingest))
        return True

    def stop_gateway(self) -> bool:
        """Stop it for a while."""
        return self.gateway not in self._woken_at and self._stop(self.gateway)

    def kill_bridge(self) -> bool:
        """Kill it; another one goes on with its log."""
        self._woken_at.pop(self.bridge, None)
        self.bridge.end(signal.SIGKILL)
        self.bridge = self._bridge()
        return True

    def stop_bridge(self) -> bool:
        """Stop it for a while."""
        return self.bridge not in self._woken_at and self._stop(self.bridge)

    def another_reader(self) -> bool:
        """End the reader; another one goes on from its positions."""
        positions = positions_of(positions_text(self._reader.positions))
        self._reader.close()
        self._reader = AlertReader(self.brokers.cluster, positions)
        return True

    def refuse(self) -> bool:
        """Let brokers refuse some requests of a kind; only the mock cluster takes such orders."""
        if REAL:
            return False
        self.brokers.order(self._chance.choice(REFUSALS))
        return True

    def broker_away(self) -> bool:
        """Let a broker of the mock cluster be away for a moment."""
        if REAL:
            return False
        number = self._chance.randrange(1, 4)
        self.brokers.order(f"down {number}")
        until(self._listened(), self._chance.uniform(0.1, 1.0))
        self.brokers.order(f"up {number}")
        return True

    def _listened(self) -> Callable[[], bool]:
        def listened() -> bool:
            self.listen()
            return False

        return listened

    def _stop(self, process: Process) -> bool:
        process.send(signal.SIGSTOP)
        longest = self._length.longest_stop_s
        self._woken_at[process] = time.monotonic() + self._chance.uniform(1.0, longest)
        return True

    def _wake(self, process: Process) -> None:
        del self._woken_at[process]
        process.send(signal.SIGCONT)

    def _wake_all(self) -> None:
        for process in list(self._woken_at):
            self._wake(process)

    # --- a run -------------------------------------------------------------------------------

    def run(self, signals: dict[str, NDArray[np.float32]], most: int) -> None:
        """Send all streams, and strike until they are over, at most so often.

        Raises:
            AssertionError: a stream did not come to its end, or a process died by itself.
        """
        feeds = [Feed(self._ingest, n, x, speed=SPEED) for n, x in signals.items()]
        self._opened.callback(lambda: [feed.stop() for feed in feeds if feed.failure is None])
        while any(feed.alive for feed in feeds) and self.strikes.total() < most:
            until(self._listened(), self._chance.uniform(*self._length.pause_s))
            self.strike()
        self._wake_all()

        def over() -> bool:
            self.listen()
            return not any(feed.alive for feed in feeds)

        assert until(over, PATIENCE_S), "a source waits for ever"
        for feed in feeds:
            feed.join()

    def read_all(self, expected: Counter[tuple[object, ...]]) -> None:
        """Listen until subscriber and reader have as many alerts as expected, and a bit longer."""

        def all_there() -> bool:
            self.listen()
            counts = (len(compared(self.read)), len(compared(self.subscribed)))
            return min(counts) >= expected.total()

        until(all_there, PATIENCE_S)
        until(self._listened(), 0.5)

    def on_topic(self) -> Counter[tuple[object, ...]]:
        """Return what the topic of alerts holds, repeats included."""
        values = self.brokers.cluster.values(self.brokers.topics.alerts)
        return Counter(compared([decode_alert(one) for one in values]))

    def check_processes(self) -> None:
        """Raise `AssertionError` for a process that died by itself."""
        for process in (self.gateway, self.bridge, *self.workers):
            assert process.running, f"a process died: {process.errors[-1:]}"

    def __enter__(self) -> "System":
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()


_STRIKES: Final[dict[str, Callable[[System], bool]]] = {
    "kills of a worker": System.kill_worker,
    "stops of a worker": System.stop_worker,
    "workers that joined": System.add_worker,
    "workers that left": System.end_worker,
    "kills of the gateway": System.kill_gateway,
    "stops of the gateway": System.stop_gateway,
    "kills of the bridge": System.kill_bridge,
    "stops of the bridge": System.stop_bridge,
    "readers that went on": System.another_reader,
    "refusals of brokers": System.refuse,
    "brokers away": System.broker_away,
}


def signals_of(chance: random.Random, seconds: int) -> dict[str, NDArray[np.float32]]:
    """Return parts of the bundled record by stream; in each the heart stops for a while."""
    blocks = RecordSource(DEMO_RECORD, speed=None).blocks()
    demo = np.concatenate([block.samples for block in blocks if block is not None])
    demo = np.tile(demo, 1 + (seconds + 60) * FS // len(demo))
    found = {}
    for name in STREAMS:
        x = found[name] = signal_of(chance.randrange(1_000), seconds, demo)
        begin = chance.randrange(len(x) * 2 // 3)
        x[begin : begin + chance.randrange(4, 12) * FS] = x[begin]
    return found


def run_once(seed: int, length: Length, figures: Figures, *, most: int = 10_000) -> None:
    """Strike at one cluster until its streams are over; add what came of it to ``figures``."""
    chance = random.Random(seed)
    signals = signals_of(chance, length.seconds)
    expected = Counter(row for name, x in signals.items() for row in compared(embedded(name, x)))
    figures.runs += 1
    with tempfile.TemporaryDirectory() as folder, System(Path(folder), chance, length) as system:
        sent = False
        try:
            system.run(signals, most)
            sent = True
            system.read_all(expected)
            system.check_processes()
        except (AssertionError, MonitorError, subprocess.TimeoutExpired) as error:
            figures.failed.append(f"seed {seed}: {error}"[-200:])
        figures.strikes += system.strikes
        if not sent:
            return  # what the sources have not sent, nobody can have
        numbers = [alert.seq for alert in system.subscribed]
        figures.gaps += numbers != list(range(1, len(numbers) + 1))
        for who, alerts in (("subscriber", system.subscribed), ("reader", system.read)):
            found = Counter(compared(alerts))
            missing, extra = (expected - found).total(), (found - expected).total()
            figures.compared += expected.total()
            figures.missing += missing
            figures.extra += extra
            if missing or extra:
                there = ((expected - found) & system.on_topic()).total()  # lost behind the workers
                figures.failed.append(
                    f"seed {seed}: {who} lacks {missing}, of which the topic has {there}, and has "
                    f"{extra} too many"
                )


def campaign(seconds: float, seed: int) -> tuple[Table, bool]:
    """Run and compare for so long; return the table, and whether something was lost."""
    figures, until_s = Figures(), time.monotonic() + seconds
    while time.monotonic() < until_s:
        run_once(seed + figures.runs, LONG, figures)
    return _table(figures), bool(figures.missing or figures.extra or figures.gaps or figures.failed)


def _table(figures: Figures) -> Table:
    rows: list[tuple[str, str]] = [
        ("runs", f"{figures.runs}"),
        *((name, f"{figures.strikes[name]}") for name in _STRIKES),
        ("all of these", f"{figures.strikes.total()}"),
        ("alerts compared", f"{figures.compared:,}"),
        ("missing", f"{figures.missing}"),
        ("extra", f"{figures.extra}"),
        ("runs with a gap in the numbers", f"{figures.gaps}"),
        ("runs that failed", f"{len(figures.failed)}"),
    ]
    return Table(title="cluster", columns=("", ""), rows=rows, notes=figures.failed)
