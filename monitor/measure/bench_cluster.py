"""Measure a gateway and workers, as processes, over brokers in this process.

The brokers are librdkafka's mock cluster: they cost what no real broker would, but in this process,
and what gateway and workers cost is read from the operating system. The bundled record is sent as
many streams at full speed, in chunks of a given length.
"""

import contextlib
import itertools
import json
import math
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from models.files.calibration import load_calibration
from monitor.measure.process_usage import cpu_s, resident_mib
from monitor.run.processes import child_command
from pipeline.alarms.settings import DEFAULTS
from pipeline.clients.ingest import IngestClient
from pipeline.errors import MonitorError
from pipeline.kafka.brokers import Cluster
from pipeline.kafka.partition import Partition, Rules
from pipeline.kafka.snapshots import newest, pieces_of
from pipeline.kafka.topics import Topics, partition_of
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.public import Alert, decode_alert
from pipeline.signal.samples import in_blocks
from replay.headers import DEMO_RECORD
from replay.records import read_lead

if TYPE_CHECKING:
    from io import TextIOWrapper

FS_HZ: Final = 360
_PATIENCE_S: Final = 300.0
_ROUGHLY_S: Final = 0.04
"""Processor time is counted in ticks of 10 ms: what differs by less is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFigures:
    """What a stream of one lead costs, for each second of it."""

    streams: int
    seconds: int
    chunk_s: float
    gateway_us: float
    """Processor time of the gateway for a second of a stream."""
    worker_us: float
    """Processor time of the worker for a second of a stream, its scorer included."""
    chunk_bytes: float
    """For a second of a stream on the topic of chunks, before the broker's own frame."""
    alert_bytes: float
    """Of the alerts of a second of a stream, on the topic of alerts."""
    alerts_an_hour: float
    """Of a stream."""
    bridge_alerts_s: float
    """Alerts a second that the log of a bridge takes, a thousand in a transaction."""
    snapshot_bytes: float
    """Of a stream, compressed."""
    snapshot_us: float
    """Processor time to take a stream's snapshot."""
    restore_us: float
    """Processor time to continue a stream from its snapshot."""
    worker_kib: float
    """Memory of the worker for each stream."""
    worker_base_mib: float
    """Memory of the worker without any stream."""
    idle_share: float
    """Of a core, that a worker without samples takes; not part of the others."""
    source_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFigures:
    """The same streams through one worker, and through two; processor time in seconds.

    Sources and brokers are in the process that measures, and not part of any of these; what a
    worker takes without samples is.
    """

    streams: int
    seconds: int
    """Of each stream, in chunks of a second."""
    one_worker_s: float
    two_workers_busier_s: float
    two_workers_other_s: float
    gateway_s: float
    """Beside the one worker; hardly another beside two."""
    times_as_much: float
    """What one worker takes over what the busier of two takes: so many times as many streams two
    workers serve, where each has a core."""


class _Child:
    """A ``monitor`` command, and what it costs."""

    def __init__(self, words: Sequence[str]) -> None:
        command, environment = child_command(words)
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        )
        stdout = self._process.stdout
        assert stdout is not None
        self._stdout: TextIOWrapper[Any] | Any = stdout

    def until(self, event: str) -> dict[str, Any]:
        """Return the next event of a kind."""
        for line in self._stdout:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == event:
                return said
        raise MonitorError(f"the process ended before it said {event!r}")

    @property
    def cpu_s(self) -> float:
        """CPU time so far."""
        return cpu_s(self._process.pid)

    @property
    def resident_mib(self) -> float:
        """Resident memory."""
        return resident_mib(self._process.pid)

    def end(self) -> None:
        """Stop the process, and wait until it is gone; what it has left to say is not read."""
        self._process.terminate()
        self._process.wait()
        self._stdout.close()


def measure_cluster(
    x: NDArray[np.float32], *, streams: int, seconds: int, chunk_s: float
) -> ClusterFigures:
    """Send ``seconds`` of ``x``, float32[n] in mV at 360 Hz, as several streams, to their end."""
    x = x[: seconds * FS_HZ]
    with mock_cluster() as cluster, contextlib.ExitStack() as ended:
        options = ["--kafka", cluster.brokers, "--prefix", cluster.topics.prefix]
        worker = _Child(["worker", *options, "--snapshot-s", "3600"])
        ended.callback(worker.end)
        gateway = _Child(["gateway", *options, "--ingest", "tcp://127.0.0.1:0"])
        ended.callback(gateway.end)
        ingest = gateway.until("ready")["ingest"]
        worker.until("owned")
        _send(ingest, "warm-up", x[: 20 * FS_HZ], FS_HZ)  # every process has done all once
        idle = _idle(gateway), _idle(worker)
        before = gateway.cpu_s, worker.cpu_s, worker.resident_mib
        began = time.monotonic()
        names = [f"bed-{n}" for n in range(streams)]
        _send_all(ingest, x, names, round(chunk_s * FS_HZ))
        settled = _settled(worker, idle[1])
        lasted_s = time.monotonic() - began
        costs = (
            gateway.cpu_s - before[0] - lasted_s * idle[0],
            settled - before[1] - lasted_s * idle[1],
        )
        grown = worker.resident_mib - before[2]
        worker.end()  # saves what it has
        chunks, alerts = (
            list(cluster.values(topic)) for topic in (cluster.topics.chunks, cluster.topics.alerts)
        )
        take_us, restore_us, snapshot_bytes = _snapshots(cluster)
    total = streams * seconds
    return ClusterFigures(
        streams=streams,
        seconds=seconds,
        chunk_s=chunk_s,
        gateway_us=round(1e6 * costs[0] / total, 1),
        worker_us=round(1e6 * costs[1] / total, 1),
        chunk_bytes=round(sum(map(len, chunks)) / total, 1),
        alert_bytes=round(sum(map(len, alerts)) / total, 1),
        alerts_an_hour=round(3_600 * len(alerts) / total, 1),
        bridge_alerts_s=round(_bridged_a_second([decode_alert(one) for one in alerts])),
        snapshot_bytes=round(snapshot_bytes),
        snapshot_us=round(take_us, 1),
        restore_us=round(restore_us, 1),
        worker_kib=round(1024 * grown / streams, 1),
        worker_base_mib=round(before[2], 1),
        idle_share=round(idle[1], 3),
        source_hz=FS_HZ,
    )


def measure_sharing(*, streams: int = 128, seconds: int = 60, rounds: int = 3) -> SharedFigures:
    """Send ``seconds`` of the bundled record as many streams through one worker, and through two.

    The streams lie evenly in the partitions. One worker and two take turns; each has the least
    processor time of its ``rounds``, the two that of their best round.

    Raises:
        ConfigError: the Kafka client is not installed.
    """
    x = np.ascontiguousarray(read_lead(DEMO_RECORD)[1][: seconds * FS_HZ])
    one, two, gateway = math.inf, (math.inf, math.inf), math.inf
    for _ in range(rounds):
        (alone,), beside = _shared(x, streams, workers=1)
        one, gateway = min(one, alone), min(gateway, beside)
        (busier, other), _ = _shared(x, streams, workers=2)
        two = min(two, (busier, other))
    return SharedFigures(
        streams=streams,
        seconds=seconds,
        one_worker_s=round(one, 2),
        two_workers_busier_s=round(two[0], 2),
        two_workers_other_s=round(two[1], 2),
        gateway_s=round(gateway, 2),
        times_as_much=round(one / two[0], 2),
    )


def _shared(x: NDArray[np.float32], streams: int, *, workers: int) -> tuple[list[float], float]:
    """Return the processor time of each worker, the busiest first, and of the gateway."""
    with mock_cluster() as cluster, contextlib.ExitStack() as ended:
        options = ["--kafka", cluster.brokers, "--prefix", cluster.topics.prefix]
        members = [_Child(["worker", *options, "--snapshot-s", "3600"]) for _ in range(workers)]
        for member in members:
            ended.callback(member.end)
        gateway = _Child(["gateway", *options, "--ingest", "tcp://127.0.0.1:0"])
        ended.callback(gateway.end)
        ready = gateway.until("ready")
        ingest, partitions = ready["ingest"], ready["partitions"]
        share = partitions // workers
        for member in members:
            while len(member.until("owned")["partitions"]) != share:
                pass
        _send_all(ingest, x[: 20 * FS_HZ], _even_names("warm-up", partitions, partitions), FS_HZ)
        children = [*members, gateway]
        idle = [_idle(child) for child in children]
        before = [child.cpu_s for child in children]
        _send_all(ingest, x, _even_names("bed", streams, partitions), FS_HZ)
        settled = [_settled(one, of_one) for one, of_one in zip(children, idle, strict=True)]
    *used, by_gateway = (after - first for after, first in zip(settled, before, strict=True))
    return sorted(used, reverse=True), by_gateway


def _even_names(word: str, count: int, partitions: int) -> list[str]:
    """Return ``count`` names of streams, equally many in each partition."""
    names: list[str] = []
    numbers = itertools.count()
    while len(names) < count:
        wanted = len(names) % partitions
        names.append(
            next(
                name
                for name in (f"{word}-{n}" for n in numbers)
                if partition_of(name, partitions) == wanted
            )
        )
    return names


@contextlib.contextmanager
def mock_cluster() -> Iterator[Cluster]:
    """Yield a cluster of three brokers in this process, with topics of its own.

    Raises:
        ConfigError: the Kafka client is not installed.
    """
    topics = Topics(f"bench-{uuid.uuid4().hex[:8]}")
    first = Cluster(brokers="", settings={"test.mock.num.brokers": "3"})
    host = first.producer()
    known = host.list_topics(timeout=10).brokers.values()
    for name in topics.settings():
        host.list_topics(name, timeout=10)  # the mock cluster makes it, of four partitions
    yield Cluster(brokers=",".join(f"{one.host}:{one.port}" for one in known), topics=topics)


def _send_all(ingest: str, x: NDArray[np.float32], names: Sequence[str], chunk: int) -> None:
    threads = [threading.Thread(target=_send, args=(ingest, name, x, chunk)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send(ingest: str, stream: str, x: NDArray[np.float32], chunk: int) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    with IngestClient(
        ingest,
        stream=stream,
        fs_hz=float(FS_HZ),
        lead="II",
        stop=lambda: time.monotonic() > until_s,
    ) as source:
        for block in in_blocks(x, chunk):
            source.send(block)
        source.finish()


def _settled(worker: _Child, idle: float) -> float:
    """Return the CPU time of a worker once it does no more than one that is ``idle``, a second."""
    moment, before = threading.Event(), float("-inf")
    while (now := worker.cpu_s) - before > 2.0 * idle + _ROUGHLY_S:
        before = now
        moment.wait(1.0)
    return now


def _idle(child: _Child) -> float:
    """Return the CPU time that a process without samples takes in a second."""
    before = child.cpu_s
    threading.Event().wait(2.0)
    return (child.cpu_s - before) / 2.0


def _bridged_a_second(alerts: Sequence[Alert]) -> float:
    """Return how many alerts a second an alert log takes."""
    many = [alerts[n % len(alerts)] for n in range(1_000)]
    best = math.inf
    with tempfile.TemporaryDirectory() as folder, AlertLog(Path(folder) / "log.sqlite") as log:
        for _ in range(20):
            began = time.perf_counter()
            log.commit(Commit(alerts=many))
            best = min(best, time.perf_counter() - began)
    return len(many) / best


def _snapshots(cluster: Cluster) -> tuple[float, float, float]:
    """Return, of a stream, the time to take a snapshot and to continue from it, and its bytes."""
    rules = Rules(live_score=load_calibration(), alarms=DEFAULTS, version="")
    taken = restored = size = 0.0
    streams = 0
    found = newest(cluster)
    Partition(rules, time.time, 0.0, found[0])  # loads what is loaded once
    for saved in found:
        began = time.process_time()
        partition = Partition(rules, time.time, 0.0, saved)
        restored += time.process_time() - began
        began = time.process_time()
        size += sum(map(len, pieces_of(partition.saved())))
        taken += time.process_time() - began
        streams += len(saved.streams)
    return 1e6 * taken / streams, 1e6 * restored / streams, size / streams
