"""`monitor evaluate plan`: what 10,000, 100,000 and 1,000,000 streams ask of machines.

What a stream costs is measured on this machine (`monitor.measure.bench_cluster`); all else is
arithmetic, whose assumptions are `Assumptions`: sizes of machines, prices, replicas, how full
anything may be. The recovery of a dead worker is simulated second by second: its partitions go to
the others, which read again what came since the last snapshot while new signal goes on coming.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.evaluation.report.document_file import replace_section, split_at_section
from models.evaluation.report.documents import Section
from models.evaluation.report.tables import Table
from models.measure.provenance import Provenance, provenance
from monitor.measure.bench_cluster import ClusterFigures, measure_cluster
from monitor.measure.output import print_json, print_sections, progress_of
from replay.headers import DEMO_RECORD
from replay.records import read_lead

SECTION: Final = "plan"
SIZES: Final = (10_000, 100_000, 1_000_000)

_STREAMS: Final = 32
_SECONDS: Final = 60
_DAY_S: Final = 86_400
_PRICE: Final = "a list price, rounded"
_GIGA: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is not measured."""

    source_hz: int = 250
    """Rate of the devices; bytes are those measured, by their rates."""
    streams_a_partition: int = 100
    full: float = 0.6
    """Share of a core that workers and gateways use, so that others can take over."""
    cores_a_machine: int = 8
    replicas: int = 3
    chunks_kept_h: float = 24.0
    snapshots_kept_h: float = 1.5
    """Until they are compacted."""
    alerts_kept_d: float = 30.0
    snapshot_s: float = 60.0
    detect_s: float = 10.0
    """Until a worker that is gone is noticed: the session timeout of the group."""
    rebalance_s: float = 3.0
    """To give the partitions of a worker to others."""
    network_bytes_s: float = 1.25e9
    """Of a machine: 10 Gbit/s."""
    broker_bytes_s: float = 150e6
    """That one broker takes in and copies, its disks and replicas included."""
    broker_partitions: int = 4_000
    """Copies of partitions that one broker holds."""
    cluster_partitions: int = 200_000
    """Copies of partitions that one cluster holds, of the five topics together."""
    group_members: int = 1_000
    """Beyond, one rebalance of the group takes minutes."""
    core_hour: float = 0.045
    """US dollars for an hour of a core with 4 GiB. This and the next two are list prices of large
    clouds, rounded."""
    disk_gb_month: float = 0.08
    """US dollars for a GB of SSD."""
    transfer_gb: float = 0.01
    """US dollars for a GB between two data centres, for each copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a number of streams needs."""

    streams: int
    partitions: int
    worker_cores: int
    gateway_cores: int
    worker_machines: int
    brokers: int
    memory_gb: float
    """Of workers."""
    disk_gb: float
    """Over all copies."""
    in_mb_s: float
    """From the sources."""
    cluster_mb_s: float
    """Written by brokers, over all copies."""
    recovery_s: float
    """From the death of a machine of workers until its streams are up to date."""
    dollars_a_patient_day: float
    breaks_first: str


def plan_for(streams: int, one: ClusterFigures, assumed: Assumptions) -> Plan:
    """Return what ``streams`` streams need, each of which costs what was measured."""
    partitions = math.ceil(streams / assumed.streams_a_partition)
    worker_cores = math.ceil(streams * one.worker_us / 1e6 / assumed.full)
    gateway_cores = math.ceil(streams * one.gateway_us / 1e6 / assumed.full)
    chunk_bytes = one.chunk_bytes * assumed.source_hz / one.source_hz
    snapshot_bytes = one.snapshot_bytes / assumed.snapshot_s
    each_s = chunk_bytes + one.alert_bytes + snapshot_bytes
    kept = 3_600 * chunk_bytes * assumed.chunks_kept_h
    kept += 3_600 * snapshot_bytes * assumed.snapshots_kept_h
    kept += one.alert_bytes * _DAY_S * assumed.alerts_kept_d
    disk_gb = streams * kept * assumed.replicas / _GIGA
    written = streams * each_s * assumed.replicas
    brokers = max(
        assumed.replicas,
        math.ceil(written / assumed.broker_bytes_s),
        math.ceil(_TOPICS * partitions * assumed.replicas / assumed.broker_partitions),
    )
    memory = worker_cores * one.worker_base_mib * 2**20 + streams * one.worker_kib * 1024
    recovery_s = recovered_after_s(streams, worker_cores, one, assumed)
    cores = worker_cores + gateway_cores + brokers * assumed.cores_a_machine
    dollars = 24 * cores * assumed.core_hour + disk_gb * assumed.disk_gb_month / 30
    dollars += streams * each_s * _DAY_S / _GIGA * (assumed.replicas - 1) * assumed.transfer_gb
    return Plan(
        streams=streams,
        partitions=partitions,
        worker_cores=worker_cores,
        gateway_cores=gateway_cores,
        worker_machines=math.ceil(worker_cores / cores_of_a_machine(worker_cores, assumed)),
        brokers=brokers,
        memory_gb=round(memory / _GIGA, 1),
        disk_gb=round(disk_gb),
        in_mb_s=round(streams * chunk_bytes / 1e6, 1),
        cluster_mb_s=round(written / 1e6, 1),
        recovery_s=round(recovery_s, 1),
        dollars_a_patient_day=round(dollars / streams, 5),
        breaks_first=breaks_first(streams, worker_cores, partitions, one, assumed),
    )


def recovered_after_s(
    streams: int, worker_cores: int, one: ClusterFigures, assumed: Assumptions
) -> float:
    """Return how long the streams of a dead machine are behind: simulated second by second.

    Each core is a worker. The others share the streams of the dead ones evenly; each continues from
    snapshots as old as they may be, and has what its own streams leave of its core.
    """
    dead = cores_of_a_machine(worker_cores, assumed)
    others = max(1, worker_cores - dead)
    own, taken = streams / worker_cores, streams * dead / worker_cores / others
    now = assumed.detect_s + assumed.rebalance_s
    behind = taken * (assumed.snapshot_s + now) * one.worker_us / 1e6
    behind += taken * one.restore_us / 1e6
    now += taken * one.snapshot_bytes / assumed.network_bytes_s
    new_a_second = taken * one.worker_us / 1e6
    left_a_second = 1.0 - own * one.worker_us / 1e6
    while behind > 0.0:
        if left_a_second <= new_a_second:
            return math.inf
        step = min(1.0, behind / (left_a_second - new_a_second))
        behind -= step * (left_a_second - new_a_second)
        now += step
    return now


def breaks_first(
    streams: int, workers: int, partitions: int, one: ClusterFigures, assumed: Assumptions
) -> str:
    """Return the part nearest to its limit, and at how many streams it is reached."""
    copies = _TOPICS * partitions * assumed.replicas
    shares = {
        "members of one group": workers / assumed.group_members,
        "partitions of one cluster": copies / assumed.cluster_partitions,
        "one bridge for all alerts": streams * one.alerts_an_hour / 3_600 / one.bridge_alerts_s,
    }
    name, share = max(shares.items(), key=lambda item: item[1])
    return f"{name}, at {streams / share:,.0f} streams"


_TOPICS: Final = 5


def cores_of_a_machine(worker_cores: int, assumed: Assumptions) -> int:
    """Return the cores of a machine of workers: there are four machines at least, if they can be.

    Of fewer the others could not take over what one leaves.
    """
    return min(assumed.cores_a_machine, max(1, worker_cores // 4))


def plan(*, report: Path | None, as_json: bool) -> None:
    """Measure what a stream costs here, and print what many of them need.

    Raises:
        ConfigError: the Kafka client is not installed, or the document cannot be written.
    """
    if report is not None:
        split_at_section(report, SECTION)
    x = np.ascontiguousarray(read_lead(DEMO_RECORD)[1])
    figures = []
    with progress_of(2) as on_step:
        for chunk_s in (1.0, 0.2):
            on_step(f"chunks of {chunk_s:g} s")
            figures.append(measure_cluster(x, streams=_STREAMS, seconds=_SECONDS, chunk_s=chunk_s))
    assumed, machine = Assumptions(), provenance()
    plans = [plan_for(streams, figures[0], assumed) for streams in SIZES]
    sections = plan_sections(figures, plans, assumed, machine)
    if report is not None:
        replace_section(report, SECTION, sections)
    if as_json:
        print_json({"measured": figures, "plans": plans, "assumed": assumed, "machine": machine})
    else:
        print_sections(sections)


def plan_sections(
    figures: Sequence[ClusterFigures],
    plans: Sequence[Plan],
    assumed: Assumptions,
    machine: Provenance,
) -> list[Section]:
    """Return what was measured, what follows from it, and what was assumed."""
    measured = Table(
        title="measured, of a stream of one lead",
        columns=("", *(f"chunks of {one.chunk_s:g} s" for one in figures)),
        rows=[
            (label, *(_cell(float(getattr(one, name))) for one in figures))
            for name, label in _MEASURED.items()
        ],
    )
    planned = Table(
        title="planned, chunks of 1 s",
        columns=("streams", *(f"{one.streams:,}" for one in plans)),
        rows=[
            (label, *(_cell(getattr(one, name)) for one in plans))
            for name, label in _PLANNED.items()
        ],
    )
    table = _inputs(figures[0], assumed)
    return [Section(blocks=[measured, planned, table, f"{machine}."])]


def _inputs(one: ClusterFigures, assumed: Assumptions) -> Table:
    """Return every number that the plan follows from: its value, and who says so."""
    command = "measured by `monitor evaluate plan`"
    sources = dict.fromkeys(("worker_base_mib", "source_hz", "bridge_alerts_s"), command)
    rows = [
        (
            label,
            _with_unit(float(getattr(one, name)), unit),
            sources.get(name, f"{command}, chunks of {one.chunk_s:g} s"),
        )
        for name, (label, unit) in _MEASURED_INPUTS.items()
    ]
    rows += [
        (
            label,
            _with_unit(getattr(assumed, name), unit),
            f"assumed: {why}" if why else "assumed",
        )
        for name, (label, unit, why) in _ASSUMED_INPUTS.items()
    ]
    return Table(
        title="what the plan follows from",
        columns=("input", "value", "where from"),
        text_columns=3,
        rows=rows,
    )


def _with_unit(value: float, unit: str) -> str:
    scale, unit = (1e-6, "MB/s") if unit == "bytes/s" and value >= 1e6 else (1.0, unit)
    scale, unit = (100.0, "%") if unit == "share" else (scale, unit)
    number = value * scale
    text = f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.4g}"
    return f"{text} {unit}".strip()


_MEASURED_INPUTS: Final = {
    "worker_us": ("CPU of a worker, for a second of signal", "us"),
    "gateway_us": ("CPU of a gateway, for a second of signal", "us"),
    "chunk_bytes": ("chunks of a stream", "bytes/s"),
    "source_hz": ("rate at which chunks were measured", "Hz"),
    "alert_bytes": ("alerts of a stream", "bytes/s"),
    "alerts_an_hour": ("alerts of a stream in an hour", ""),
    "bridge_alerts_s": ("alerts that the log of a bridge takes in a second", ""),
    "snapshot_bytes": ("snapshot of a stream, compressed", "bytes"),
    "restore_us": ("CPU to continue a stream from its snapshot", "us"),
    "worker_kib": ("memory of a stream in a worker", "KiB"),
    "worker_base_mib": ("memory of a worker without streams", "MiB"),
}
"""Of `ClusterFigures`, all that the plan reads: name and unit."""

_ASSUMED_INPUTS: Final = {
    "source_hz": ("rate of the devices; chunks are scaled by it", "Hz", ""),
    "streams_a_partition": ("streams of a partition", "", "it takes 256 at most"),
    "full": (
        "use of the cores of workers and gateways",
        "share",
        "the rest is for the streams of a machine that dies",
    ),
    "cores_a_machine": ("cores of a machine", "", ""),
    "replicas": ("copies of each partition", "", "as `monitor gateway` creates topics"),
    "chunks_kept_h": ("chunks are kept", "h", "as `monitor gateway` creates topics"),
    "snapshots_kept_h": ("snapshots are kept until they are compacted", "h", ""),
    "alerts_kept_d": ("alerts are kept", "days", "as `monitor gateway` creates topics"),
    "snapshot_s": ("time between snapshots of a stream", "s", "the default of `--snapshot-s`"),
    "detect_s": ("until a dead worker is noticed", "s", "the session timeout of the group"),
    "rebalance_s": ("until its partitions have other workers", "s", ""),
    "network_bytes_s": ("network of a machine", "bytes/s", ""),
    "broker_bytes_s": ("what one broker writes, its copies included", "bytes/s", ""),
    "broker_partitions": ("copies of partitions that one broker holds", "", ""),
    "cluster_partitions": ("copies of partitions that one cluster holds", "", ""),
    "group_members": ("members of a group that can rebalance", "", ""),
    "core_hour": ("an hour of a core with 4 GiB", "US dollars", _PRICE),
    "disk_gb_month": ("a GB of SSD in a month", "US dollars", _PRICE),
    "transfer_gb": ("a GB between two data centres, each copy", "US dollars", _PRICE),
}
"""Of `Assumptions`, all: name, unit and reason."""


_MEASURED: Final = {
    "gateway_us": "CPU of the gateway, us a second of signal",
    "worker_us": "CPU of the worker, scoring included, us a second of signal",
    "chunk_bytes": "bytes of chunks a second, at 360 Hz",
    "alert_bytes": "bytes of alerts a second",
    "alerts_an_hour": "alerts an hour, of the bundled record",
    "bridge_alerts_s": "alerts a second that the log of a bridge takes",
    "snapshot_bytes": "bytes of a stream in a snapshot, compressed",
    "snapshot_us": "us to take the snapshot of a stream",
    "restore_us": "us to continue from one",
    "worker_kib": "KiB of memory in the worker",
    "worker_base_mib": "MiB of a worker without streams",
    "idle_share": "share of a core that a worker without streams takes",
}

_PLANNED: Final = {
    "partitions": "partitions of each topic",
    "worker_cores": "cores of workers",
    "gateway_cores": "cores of gateways",
    "worker_machines": "machines of workers",
    "brokers": "brokers",
    "memory_gb": "GB of memory in workers",
    "disk_gb": "GB of disk, all copies",
    "in_mb_s": "MB a second from sources",
    "cluster_mb_s": "MB a second written, all copies",
    "recovery_s": "seconds until a dead machine's streams are up to date",
    "dollars_a_patient_day": "dollars a patient and day",
    "breaks_first": "breaks first",
}


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float) or math.isinf(value):
        return "never"
    return f"{value:.3g}" if value < 1.0 else f"{value:,.1f}"
