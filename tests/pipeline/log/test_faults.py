"""Faults of the disk, and the order of writes: nothing is published before it is synced."""

import re
import resource
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import LogError
from pipeline.log.store import AlertLog
from pipeline.log.verify import verify
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.chaos import History, HubProcess, feed_stream, oracle, scorer_of
from tests.support.disk import (
    FILE_CALLS,
    STRACE,
    Disk,
    calls_of_strace,
    record_of_strace,
    recording_connect,
    straced,
    written,
)
from tests.support.limits import BUSY_S, promised
from tests.support.running import thread

pytestmark = pytest.mark.system

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")


@needs_strace
@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        ("fdatasync", "EIO", "disk I/O error"),
        ("pwrite64", "ENOSPC", "database or disk is full"),
        ("pwrite64", "EIO", "disk I/O error"),
    ],
)
def test_log_continues_when_the_disk_works_again(
    call: str, error: str, said: str, tmp_path: Path
) -> None:
    """While the disk fails every commit says so; then the same process goes on, nothing lost."""
    log = tmp_path / "log"
    inject = f"inject={call}:error={error}:when=60..69"

    lines = straced(log, tmp_path / "trace", 60, f"trace={call}", inject)

    faults = [line for line in lines if line.startswith("fault")]
    assert len(faults) >= 5
    assert all(said in line for line in faults)
    found = verify(log)
    assert found.damage == []
    assert lines[-1].split()[0] == str(found.last_seq)


def test_log_survives_a_fault_of_any_single_write_or_sync(tmp_path: Path) -> None:
    """Each write, sync and truncation fails once: said, tried again, and the log is whole."""
    from tests.support.programs.appender import work

    def run(fail_at: int) -> tuple[int, int]:
        path, disk, faults = tmp_path / f"log{fail_at}", Disk(fail_at=fail_at), 0

        def report(line: str) -> None:
            nonlocal faults
            faults += line.startswith("fault")

        try:
            log = AlertLog(path, recording_connect(disk))
        except LogError:
            faults += 1
            log = AlertLog(path, recording_connect(disk))
        work(log, 4, 1, report)
        last_seq = log.last_seq
        log.close()
        found = verify(path)
        assert (found.damage, found.last_seq) == ([], last_seq), f"operation {fail_at}"
        return faults, disk.tried

    _, operations = run(-1)
    faults = [run(n)[0] for n in range(operations)]

    assert max(faults) == 1
    assert sum(faults) > operations / 2


@promised(2.0)
def test_hub_whose_disk_is_full_reports_it_and_recovers_by_itself(
    tmp_path: Path, limit_s: float
) -> None:
    """Within 2 s the status says that nothing is recorded; nothing is acknowledged till it is."""
    signal = (
        SyntheticPatient(PatientConfig(ectopic=0.1, pause=0.02, seed=7)).generate(64800).samples
    )
    hub = HubProcess(tmp_path / "log")
    hub.start()
    expected = {"a": oracle("a", signal)}
    history = History(hub)
    sent: list[int] = []
    full = threading.Event()

    def due(sample: int) -> None:
        sent.append(sample)
        if sample > signal.size // 2:
            assert full.wait(BUSY_S)

    unlimited = resource.prlimit(hub.pid, resource.RLIMIT_FSIZE)
    try:
        with (
            scorer_of(hub),
            history.subscriber,
            thread(lambda stop: feed_stream(hub, "a", signal, step=97, stop=stop, due=due)),
        ):
            while not history.alerts:
                history.receive()
            resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
            full.set()
            began = time.monotonic()
            while "a" not in history.statuses or not history.statuses["a"].fault:
                history.receive()
                assert time.monotonic() < began + limit_s
            recorded, stuck_at = len(history.alerts), -1
            while stuck_at != sent[-1]:
                stuck_at = sent[-1]
                history.receive(1.5)
            assert len(history.alerts) == recorded
            resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, unlimited)
            history.until_ended(["a"])
        history.check(expected)
        states = [a.state for a in history.alerts if a.kind == "log_not_writable"]
        assert states == ["on", "off"]
        assert hub.stop() == 0
    finally:
        if not hub.dead():
            hub.kill()
    assert verify(tmp_path / "log").damage == []


@needs_strace
def test_every_acknowledgement_follows_the_sync_of_what_it_acknowledges(tmp_path: Path) -> None:
    """More than 1,000 alerts: whenever the program says "committed", nothing waits for the disk."""
    trace = tmp_path / "trace"
    lines = straced(tmp_path / "log", trace, 170, FILE_CALLS)
    assert int(lines[-1].split()[0]) > 1000

    disk, waiting, acknowledged, violations = record_of_strace(trace, tmp_path), False, 0, 0
    for op in disk.ops:
        if op.name == "log-wal":
            waiting = op.what == "write" or (waiting and op.what != "sync")
        elif op.what == "mark":
            acknowledged += 1
            violations += waiting

    assert (acknowledged, violations) == (170, 0)


def alternating(minutes: int) -> NDArray[np.float32]:
    """Return a signal that is flat half of the time, which makes many alarms."""
    signal = SyntheticPatient(PatientConfig(seed=7)).generate(minutes * 60 * 360).samples.copy()
    for begin_s in range(10, minutes * 60, 12):
        signal[begin_s * 360 : (begin_s + 6) * 360] = 0.0
    return signal


SEQ = re.compile(rb'"seq":([1-9]\d*),')
_NUMBER = rb"([\x00-\x7f]|\xcc.|\xcd..|\xce....)"
CHUNK = re.compile(rb"\xa7session\xd9\x20(.{32})\xa6number" + _NUMBER, re.DOTALL)
ACCEPTED = re.compile(rb"\xa7session\xd9\x20(.{32})\xa7written" + _NUMBER, re.DOTALL)


def number_of(packed: bytes) -> int:
    """Return an unsigned integer of MessagePack."""
    return int.from_bytes(packed if len(packed) == 1 else packed[1:], "big")


@needs_strace
@pytest.mark.parametrize("streams", ["a", pytest.param("abc", marks=pytest.mark.slow)])
def test_hub_publishes_only_what_is_synced(tmp_path: Path, streams: str) -> None:
    """Hundreds of alerts of a real hub: each is on the disk before its first byte goes to a socket.

    The same for every chunk that is acknowledged to a source as written.
    """
    trace, signal = tmp_path / "trace", alternating(12)
    calls = ["-e", "trace=pwrite64,fdatasync,sendto,sendmsg", "-e", "signal=none"]
    hub = HubProcess(tmp_path / "log", snapshot_events=0, under=[*STRACE, *calls, "-o", str(trace)])
    hub.start()
    history = History(hub)
    with scorer_of(hub), history.subscriber:
        for name in streams:
            with thread(
                lambda stop, name=name: feed_stream(hub, name, signal, step=720, stop=stop)
            ):
                history.until_ended([name])
    assert hub.stop() == 0

    synced, written_up_to = set[bytes](), defaultdict[bytes, int](int)
    published, accepted, violations = set[bytes](), Counter[bytes](), 0
    for what, data in story(trace):
        if what == "synced":
            synced.update(SEQ.findall(data))
            for session, number in CHUNK.findall(data):
                written_up_to[session] = max(written_up_to[session], number_of(number))
            continue
        for seq in SEQ.findall(data):
            published.add(seq)
            violations += seq not in synced
        for session, number in ACCEPTED.findall(data):
            accepted[session] = max(accepted[session], number_of(number))
            violations += number_of(number) > written_up_to[session]

    assert violations == 0
    assert {int(seq) for seq in published} == set(range(1, len(history.alerts) + 1))
    assert len(published) >= 330 * len(streams)
    assert list(accepted.values()) == [361] * len(streams)


def story(trace: Path) -> Iterator[tuple[str, bytes]]:
    """Yield pages of the log once they are synced, and what goes to sockets when it goes there.

    What a connection sends is one text, however it is cut into calls.
    """
    unsynced: list[bytes] = []
    before: dict[int, bytes] = defaultdict(bytes)
    for call in calls_of_strace(trace):
        if call.path.endswith("log-wal") and call.name == "pwrite64":
            unsynced.append(written(call))
        elif call.path.endswith("log-wal") and call.done:
            for page in unsynced:
                yield "synced", page
            unsynced.clear()
        elif call.path.startswith("socket:"):
            text = before[call.number] + written(call)
            yield "sent", text
            before[call.number] = text[-400:]
