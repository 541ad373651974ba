"""Subscribers as processes, killed, stopped, slow and late, and a hub that dies under them."""

import contextlib
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from monitor.run.processes import child_command
from pipeline.client import Subscriber
from pipeline.log.reader import LogReader
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, LogReplaced
from tests.project.test_docs import python_blocks
from tests.support.limits import BUSY_S
from tests.support.paths import PROGRAMS, ROOT
from tests.support.ports import free_ports
from tests.support.programs.alert_hub import made

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
MIB = 1024.0
MOST_ALERTS = 1_500
"""Of a hub whose subscriber is killed again and again: a slow machine has not more to do."""

Measured = Callable[[str, object], None]

READS_NEVER = """
import select, sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe("")
print("ready", flush=True)
select.select([], [], [])
"""

STOPS_ITSELF = """
import os, signal, sys
from pipeline.client import Subscriber
with Subscriber(sys.argv[1], sys.argv[2], from_seq=1, topics=[""]) as subscriber:
    for alert in subscriber:
        print("ready", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
"""
"""Stops in the middle of what it asked for: its pages wait, too."""

READS_SLOWLY = """
import select, signal, sys
from pathlib import Path
from pipeline.client import Subscriber
signals = []
signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
with Subscriber(sys.argv[1], sys.argv[2], from_seq=1) as subscriber:
    have = 0
    for alert in subscriber:
        assert alert.seq == have + 1
        have = alert.seq
        if have == 1:
            print("ready", flush=True)
        if signals:
            break
        select.select([], [], [], 0.02)
print(have, flush=True)
"""


def python(code: str, *arguments: str, cwd: Path | None = None) -> "subprocess.Popen[str]":
    """Start a Python process on some code."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, cwd=cwd
    )


@contextlib.contextmanager
def ended(process: "subprocess.Popen[str]") -> "Iterator[subprocess.Popen[str]]":
    """End a process with the block, in whatever state it is."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


class AlertHub:
    """``alert_hub.py`` as a process."""

    def __init__(self, log: Path, *, rate: float, total: int = 10**9, port: int = 0) -> None:
        command = [sys.executable, str(PROGRAMS / "alert_hub.py")]
        self.process = subprocess.Popen(
            [*command, str(log), str(port), str(rate), str(total)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], DEADLINE_S)[0]
        endpoints = json.loads(self.process.stdout.readline())
        self.alerts: str = endpoints["alerts"]
        self.replay: str = endpoints["replay"]

    def __enter__(self) -> "AlertHub":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=DEADLINE_S)


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / MIB


def until(done: Callable[[], bool]) -> None:
    """Ask ``done`` twenty times a second; fail after a minute."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, "nothing happened"
        select.select([], [], [], 0.05)


def first_line(process: "subprocess.Popen[str]") -> str:
    """Return the first line of a process's output."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], DEADLINE_S)[0], "no output"
    return process.stdout.readline()


def fill(log: Path, n: int) -> None:
    """Write a log of ``n`` alerts."""
    with AlertLog(log) as alerts:
        for first in range(1, n + 1, 5_000):
            alerts.append([made(k, 0.0) for k in range(first, min(first + 5_000, n + 1))])


@pytest.mark.parametrize(
    ("alerts", "limit_s"),
    [
        pytest.param(20_000, BUSY_S, id="at last"),
        pytest.param(100_000, 5.0, id="as promised", marks=pytest.mark.slow),
    ],
)
def test_late_joiner_catches_up(
    tmp_path: Path, record_property: Measured, alerts: int, limit_s: float
) -> None:
    """With 100,000 in five seconds, from the log while new ones come, none missing (R6)."""
    fill(tmp_path / "log", alerts)
    with AlertHub(tmp_path / "log", rate=50) as hub:
        began = time.monotonic()
        with Subscriber(hub.alerts, hub.replay, from_seq=1) as subscriber:
            have = 0
            for record in subscriber:
                assert isinstance(record, Alert)
                assert record.seq == have + 1
                have = record.seq
                if have >= alerts and subscriber.complete:
                    break
        seconds = time.monotonic() - began

    record_property("seconds", round(seconds, 2))
    assert seconds <= limit_s


@pytest.mark.timeout(300)
def test_killed_ten_times_it_has_applied_every_alert_exactly_once(tmp_path: Path) -> None:
    """Alert and position in one transaction, as documented: nothing missed or twice (R6)."""
    transaction = python_blocks("docs/subscribing.md")[1]
    port = free_ports()
    code = transaction.replace("5570", str(port))
    database = tmp_path / "mine.sqlite"

    def applied() -> int:
        try:
            with contextlib.closing(sqlite3.connect(database)) as db:
                return int(db.execute("SELECT count(*) FROM seen").fetchone()[0])
        except sqlite3.OperationalError:  # not there yet, or just being written
            return 0

    with AlertHub(tmp_path / "log", rate=150, total=MOST_ALERTS, port=port):
        for _ in range(10):
            before = min(applied(), MOST_ALERTS - 1)
            with ended(python(code, cwd=tmp_path)) as consumer:
                until(lambda before=before: applied() > before)
                consumer.send_signal(signal.SIGKILL)
    with AlertHub(tmp_path / "log", rate=0, port=port), LogReader(tmp_path / "log") as log:
        total = log.meta().last_seq
        with ended(python(code, cwd=tmp_path)):
            until(lambda: applied() >= total)

    with contextlib.closing(sqlite3.connect(database)) as db:
        numbers = [seq for (seq,) in db.execute("SELECT seq FROM seen ORDER BY rowid")]
    assert len(numbers) >= total  # the hub that came back has alerts of its own
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.timeout(300)
def test_lines_of_a_killed_subscribe_are_repeated_at_most_and_never_missing(
    tmp_path: Path,
) -> None:
    """``--position``: after a kill it goes on where the file says, not behind what it printed."""
    lines, position, port = tmp_path / "lines", tmp_path / "position.json", free_ports()
    command, variables = child_command(
        ["subscribe", "--json", "--position", str(position),
         "--endpoint", f"tcp://127.0.0.1:{port}"]
    )  # fmt: skip

    def printed() -> list[int]:
        whole = lines.read_bytes().rpartition(b"\n")[0] if lines.exists() else b""
        return [json.loads(line)["seq"] for line in whole.splitlines()]

    def stored() -> int:
        return int(json.loads(position.read_text())["seq"]) if position.exists() else 0

    def run_until(done: Callable[[], bool]) -> None:
        with lines.open("ab") as out:
            process = subprocess.Popen(command, env=variables, stdout=out)
        try:
            until(done)
        finally:
            process.kill()
            process.wait()

    starts = [0]
    with AlertHub(tmp_path / "log", rate=150, total=MOST_ALERTS, port=port):
        for _ in range(5):
            before = min(len(printed()), MOST_ALERTS - 1)
            run_until(lambda before=before: len(printed()) > before)
            starts.append(stored())
    with AlertHub(tmp_path / "log", rate=0, port=port), LogReader(tmp_path / "log") as log:
        total = log.meta().last_seq
        run_until(lambda: stored() >= total)

    numbers = printed()
    once = list(dict.fromkeys(numbers))
    assert len(once) >= total  # the hub that came back has alerts of its own
    assert once == list(range(1, len(once) + 1))
    again = [b for a, b in pairwise(numbers) if b != a + 1]
    assert all(number - 1 in starts for number in again)


def test_a_hub_that_is_killed_and_comes_back_is_no_gap(tmp_path: Path) -> None:
    """Same ports, same log: the subscriber continues: every alert once, no gap."""
    port, have = free_ports(), 0
    with Subscriber(f"tcp://127.0.0.1:{port}", from_seq=1) as subscriber:
        for _ in range(3):
            with AlertHub(tmp_path / "log", rate=500, port=port):
                enough = have + 300
                for record in subscriber:
                    assert isinstance(record, Alert)
                    assert record.seq == have + 1
                    have = record.seq
                    if have >= enough:
                        break
        with AlertHub(tmp_path / "log", rate=0, port=port), LogReader(tmp_path / "log") as log:
            total = log.meta().last_seq
            heartbeats_before = subscriber.heartbeats
            while subscriber.heartbeats <= heartbeats_before or not subscriber.complete:
                for message in subscriber.receive(0.1):
                    if isinstance(message, Alert):
                        assert message.seq == have + 1
                        have = message.seq
    assert have >= total  # the hub that came back has alerts of its own


def test_a_log_that_was_replaced_is_reported(tmp_path: Path) -> None:
    """The hub comes back with another log, while the subscriber runs and while it does not."""
    port = free_ports()
    position = tmp_path / "position.json"

    def read(log: str, subscriber: Subscriber) -> list[object]:
        """Return what comes up to alert 20 of this log."""
        records: list[object] = []
        with AlertHub(tmp_path / log, rate=500, total=20, port=port):
            for record in subscriber:
                records.append(record.seq if isinstance(record, Alert) else type(record))
                if records[-1] == 20:
                    return records
        return records

    from_the_start = [LogReplaced, *range(1, 21)]
    with Subscriber(f"tcp://127.0.0.1:{port}", position=position) as subscriber:
        assert read("first", subscriber) == from_the_start[1:]
        assert read("second", subscriber) == from_the_start
    with Subscriber(f"tcp://127.0.0.1:{port}", position=position) as subscriber:
        assert read("third", subscriber) == from_the_start


class Reader:
    """A subscriber in the test that takes alerts as fast as they come, and checks them."""

    def __init__(self, hub: AlertHub) -> None:
        self.have = 0
        self.pid = hub.process.pid
        self.most_mib = 0.0
        self.subscriber = Subscriber(hub.alerts, hub.replay, from_seq=1)

    def p99_ms(self, seconds: float) -> float:
        """Return the p99 from raising an alert to here, over so many seconds."""
        latencies = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for message in self.subscriber.receive(0.1):
                if isinstance(message, Alert):
                    assert message.seq == self.have + 1
                    self.have = message.seq
                    sent_s = (message.values or {})["sent_s"]
                    latencies.append(1e3 * (time.monotonic() - sent_s))
            self.most_mib = max(self.most_mib, memory_mib(self.pid))
        assert len(latencies) > 100
        return sorted(latencies)[len(latencies) * 99 // 100]


def overloaded(
    tmp_path: Path, *, rate: float, phase_s: float, calm: int, rounds: int
) -> tuple[float, list[float], list[float]]:
    """Measure a hub beside two subscribers that take nothing any more.

    Returns:
        Growth of the hub's memory in MiB, p99 in ms of each phase without them and with them.
    """
    without, beside = [], []
    with AlertHub(tmp_path / "log", rate=rate) as hub:
        reader = Reader(hub)
        with reader.subscriber:
            reader.p99_ms(phase_s)  # warm up
            before = memory_mib(hub.process.pid)
            for _ in range(rounds):
                without += [reader.p99_ms(phase_s) for _ in range(calm)]
                with (
                    ended(python(READS_NEVER, hub.alerts)) as never,
                    ended(python(STOPS_ITSELF, hub.alerts, hub.replay)) as stops,
                ):
                    assert first_line(never) == first_line(stops) == "ready\n"
                    reader.p99_ms(phase_s)  # two starts of Python on this machine are over
                    beside += [reader.p99_ms(phase_s) for _ in range(2 * calm)]
                    assert Path(f"/proc/{stops.pid}/stat").read_text().split()[2] == "T"
                without += [reader.p99_ms(phase_s) for _ in range(calm)]
        return reader.most_mib - before, without, beside


def test_subscribers_that_take_nothing_cost_little_and_keep_nothing_from_others(
    tmp_path: Path, record_property: Measured
) -> None:
    """One never reads, one is stopped amid its pages: memory bounded, others miss nothing (R5).

    The queue of 10,000 is full at last. How much later the others have their alerts is measured by
    `test_ten_minutes_beside_...`: that of seconds on a busy machine scatters too much.
    """
    grown, without, beside = overloaded(tmp_path, rate=2_000, phase_s=2.5, calm=1, rounds=1)

    record_property("grown_mib", round(grown, 1))
    record_property("p99_ms", (without, beside))
    assert grown < 32


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_minutes_beside_subscribers_that_take_nothing(
    tmp_path: Path, record_property: Measured
) -> None:
    """Memory grows by less than 32 MiB, the p99 of the others by less than a tenth (R5)."""
    grown, without, beside = overloaded(tmp_path, rate=400, phase_s=15.0, calm=2, rounds=5)

    record_property("grown_mib", round(grown, 1))
    record_property("p99_ms", (median(without), median(beside)))
    assert grown < 32
    assert median(beside) < 1.1 * median(without)


def slow_reader(
    tmp_path: Path, record_property: Measured, seconds: float, rate: float
) -> tuple[float, float]:
    """Run a subscriber that takes 50 alerts a second of many more, and end it.

    Returns:
        Growth of its memory in MiB: in all, and in the second half.
    """
    memory = []
    with (
        AlertHub(tmp_path / "log", rate=rate) as hub,
        ended(python(READS_SLOWLY, hub.alerts, hub.replay)) as slow,
    ):
        first_line(slow)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert slow.poll() is None
            memory.append(memory_mib(slow.pid))
            select.select([], [], [], 0.25)
        slow.send_signal(signal.SIGTERM)
        output, _ = slow.communicate(timeout=DEADLINE_S)

    first, half = memory[0], max(memory[: len(memory) // 2])
    grown, late = max(memory) - first, max(memory) - half
    record_property("grown_mib", (round(grown, 1), round(late, 1)))
    record_property("taken", int(output))
    assert slow.returncode == 0
    assert int(output) > 10 * seconds
    return grown, late


def test_a_slow_subscriber_lives_and_misses_nothing(
    tmp_path: Path, record_property: Measured
) -> None:
    """Forty times as many alerts as it takes: bounded queues, exit code 0 (S8)."""
    grown, _ = slow_reader(tmp_path, record_property, 8.0, rate=2_000)

    assert grown < 64


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_slow_subscriber_lives_for_ten_minutes(tmp_path: Path, record_property: Measured) -> None:
    """Socket heartbeats would end the process at its high-water mark: there are none (S8)."""
    grown, late = slow_reader(tmp_path, record_property, 600.0, rate=400)

    assert grown < 64
    assert late < 8
