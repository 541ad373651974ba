"""Measure how many patients one hub takes: the processor time of each process, and lateness.

Records are played as a number of streams, from one source, through hub and scorer as processes: in
real time, or as fast as they go. Each is the bundled one from another moment on, and none is as
long as another: the patients of a ward have no beat and no alarm in common. Or as many synthetic
devices are read, as `monitor live` reads them. The processor time of a patient hardly depends on
other load of the machine; whether all keep real time does.

Alerts are timed here, where they are received, from when the sample was due at which their rule was
sure. When the samples of a stream are due is known from the hub, which is asked a few times before
the measured seconds how far each stream has come: see `Schedule`.
"""

import itertools
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np

from models.evaluation.report.tables import Table
from models.measure.result_json import to_json
from monitor.measure.beside import case_name
from monitor.measure.process_usage import cpu_s
from monitor.run.supervisor import System
from pipeline.client import Subscriber, ask
from pipeline.constants import MAX_STREAMS
from pipeline.errors import EndpointError
from pipeline.schema.public import Alert, PublishedAlert, StageHistogram, Status, SystemReport
from pipeline.schema.requests import State
from replay.demo import ADC_ZERO, GAIN, RATE_HZ
from replay.headers import DEMO_RECORD


class Case(NamedTuple):
    """What is measured."""

    streams: int
    chunk_ms: float | None = None
    """Milliseconds of their chunks, in real time; None for full speed."""
    devices: bool = False
    """Whether each is a device, which sends 20 ms at a time, and not a record."""


CASES: Final = (
    Case(1, 20), Case(64, 20), Case(64, 20, devices=True), Case(250, 20),
    Case(250, 20, devices=True), Case(1000, 20), Case(250, 200), Case(1000, 200), Case(4000, 200),
    Case(50), Case(250),
)  # fmt: skip

_WARM_UP_S: Final = 15.0
_BEGUN_A_S: Final = 25
"""Streams that a second of the warm-up is for: while they begin signal waits, and a hub that is
nearly busy takes as long again to come to its end."""

_SECONDS: Final = 20.0
_RECEIVE_S: Final = 0.2

_ASKED: Final = 5
"""Times in the warm-up that the hub is asked how far the streams have come: one answer makes it as
busy as a look at a dashboard does, and it is not asked in the measured seconds."""

_ANSWER_S: Final = 10.0

_FOR_P99: Final = 100
"""Of fewer alerts no 99th percentile is said: it would be the latest one."""

_MANY: Final = 1000
"""From so many streams on, what they add to the memory is said of one."""

_RECORDS: Final = 40
"""Different records; of more streams, several have the same one, under other names."""


_LOAD: Final = {
    "streams": "streams",
    "source": "source",
    "chunk_ms": "chunk ms",
    "patients": "patients",
    "hub_percent": "hub %",
    "scorer_percent": "scorer %",
    "source_percent": "source %",
    "ms_a_patient_s": "ms a patient and s",
}
_LATENESS: Final = {
    "beat_p50_ms": "beat p50 ms",
    "beat_p99_ms": "p99 ms",
    "alerts": "alerts",
    "alert_p50_ms": "alert p50 ms",
    "alert_p99_ms": "p99 ms",
    "hub_mb": "hub MB",
    "hub_kb_a_stream": "kB a stream",
}
"""Columns by figure: one table of both is too wide for a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleFigures:
    """What a number of streams takes, live or at full speed."""

    streams: int
    source: Literal["record", "devices"]
    chunk_ms: float | None
    """None at full speed."""
    patients: float
    """Signal that is in the log, over the time that it took: as many as ``streams`` where the hub
    keeps up with live ones."""
    hub_percent: float
    """Of a core, as the two below."""
    scorer_percent: float
    source_percent: float
    ms_a_patient_s: float
    """Processor time of all three for a second of one patient."""
    beat_p50_ms: float | None
    """From the arrival of the R sample to the report; the upper end of the histogram's bucket."""
    beat_p99_ms: float | None
    hub_mb: float | None
    """Resident memory."""
    alerts: int | None
    """That began or came back in the measured time: of so many are the two figures below. None at
    full speed, where no sample is due at a time."""
    alert_p50_ms: float | None
    """From when the sample was due at which the rule was sure, to the alert at a subscriber."""
    alert_p99_ms: float | None
    """Also None where there are fewer than `_FOR_P99` alerts."""
    hub_kb_a_stream: float | None = None
    """What a stream adds to the memory of a hub of one, where that was measured as well."""


class Schedule:
    """When the samples of live streams are due, as the hub shows it. Pure; seconds of one clock.

    The n-th sample of a stream is due at n over its rate after its first. When the first was due no
    process says; but no sample arrives before it is due, so the soonest arrival that is seen gives
    it, late by no more than that arrival was. What is timed by it is thus never longer than it was,
    and shorter only if the hub was behind each time that it was asked.
    """

    def __init__(self, lengths: Mapping[str, int]) -> None:
        """Begin without knowledge of streams that repeat after so many samples, each by name."""
        self._lengths = lengths
        self._begun: dict[str, tuple[float, float]] = {}
        """When the first sample was due, and the rate in Hz."""

    def observe(self, statuses: Iterable[Status], at: float) -> None:
        """Take in how far streams had come at a time."""
        for status in statuses:
            if not status.sample:
                continue
            position = self._position(status.stream, status.epoch, status.sample)
            begun_at = at - status.data_age_s - position / status.fs_hz
            earliest = self._begun.get(status.stream, (begun_at, 0.0))[0]
            self._begun[status.stream] = min(begun_at, earliest), status.fs_hz

    def due_at(self, alert: Alert) -> float | None:
        """Return when the sample of an alert was due; None of no stream, or of an unknown one."""
        if alert.stream not in self._begun:
            return None
        begun_at, fs_hz = self._begun[alert.stream]
        return begun_at + self._position(alert.stream, alert.epoch, alert.sample) / fs_hz

    def _position(self, stream: str, epoch: int, sample: int) -> int:
        return epoch * self._lengths.get(stream, 0) + sample


def measure_cases(cases: Sequence[Case]) -> list[ScaleFigures]:
    """Run the streams of each case, one case after the other."""
    return with_memory_a_stream([measure_scale(case) for case in cases])


def with_memory_a_stream(figures: Sequence[ScaleFigures]) -> list[ScaleFigures]:
    """Return figures with what a stream adds, where there are many and those of one stream."""
    of_one = next((one.hub_mb for one in figures if one.streams == 1), None)
    return [
        replace(one, hub_kb_a_stream=round(1024 * (one.hub_mb - of_one) / (one.streams - 1), 1))
        if one.streams >= _MANY and one.hub_mb is not None and of_one is not None
        else one
        for one in figures
    ]


def measure_scale(
    case: Case, *, seconds: float = _SECONDS, least_warm_up_s: float = _WARM_UP_S
) -> ScaleFigures:
    """Run the streams of a case, and measure the last ``seconds``."""
    streams, warm_up_s = case.streams, max(least_warm_up_s, case.streams / _BEGUN_A_S)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.sqlite"
        with (
            System(
                port=0,
                log=log,
                max_streams=max(streams, MAX_STREAMS),
                on_note=lambda text: None,
            ) as system,
            Subscriber(system.endpoints["alerts"], from_seq=1, topics=["system"]) as subscriber,
        ):
            source, lengths = _source(case, Path(folder))
            names = system.start_source(source)
            schedule = Schedule(dict(zip(names, itertools.cycle(lengths))))
            for _ in range(_ASKED):
                _after(system, subscriber, warm_up_s / _ASKED)
                if case.chunk_ms is not None:
                    _look(schedule, system.endpoints["control"])
            before = _after(system, subscriber, 0.0)
            after = _after(system, subscriber, seconds)
    samples = after.report.received_samples - before.report.received_samples
    patients = samples / RATE_HZ / (after.at - before.at)
    used_s = {name: after.used_s[name] - before.used_s[name] for name in before.used_s}
    percent = {name: 100 * used / (after.at - before.at) for name, used in used_s.items()}
    total = after.report.latency_ms["total"], before.report.latency_ms["total"]
    resident = after.report.resident_bytes
    late_ms = lateness_ms(schedule, after.alerts)
    return ScaleFigures(
        streams=streams,
        source="devices" if case.devices else "record",
        chunk_ms=case.chunk_ms,
        patients=round(patients, 1),
        hub_percent=round(percent["hub"], 1),
        scorer_percent=round(percent["scorer"], 1),
        source_percent=round(percent["source"], 1),
        ms_a_patient_s=round(10 * sum(percent.values()) / patients, 2),
        beat_p50_ms=_quantile(*total, after.report.buckets_ms, 0.5),
        beat_p99_ms=_quantile(*total, after.report.buckets_ms, 0.99),
        hub_mb=None if resident is None else round(resident / 2**20, 1),
        alerts=None if case.chunk_ms is None else len(late_ms),
        alert_p50_ms=round(float(np.quantile(late_ms, 0.5)), 1) if late_ms else None,
        alert_p99_ms=(
            round(float(np.quantile(late_ms, 0.99)), 1) if len(late_ms) >= _FOR_P99 else None
        ),
    )


def _look(schedule: Schedule, control: str) -> None:
    """Ask the hub how far the streams have come; what is not known stays so if it is too busy."""
    try:
        state = ask(control, State(), _ANSWER_S)
    except EndpointError:
        return
    if state.system is not None:
        made_ago_s = time.time() - datetime.fromisoformat(state.system.utc).timestamp()
        schedule.observe(state.statuses, time.monotonic() - made_ago_s)


def lateness_ms(schedule: Schedule, alerts: Iterable[tuple[float, Alert]]) -> list[float]:
    """Return how long after its sample was due each alert came, given when each was received.

    Only of those that say that a condition is present: the others, and those that go by the clock,
    wait by their rules.
    """
    return [
        1e3 * (at - due_at)
        for at, alert in alerts
        if alert.state == "on" and alert.kind != "no_data"
        if (due_at := schedule.due_at(alert)) is not None
    ]


def _source(case: Case, folder: Path) -> tuple[list[str], list[int]]:
    """Return the arguments of ``monitor source``, for which records are written into a folder.

    And after how many samples its streams repeat, in turn: as many as there are different records.
    """
    if case.devices:
        addresses = (f"synthetic:?fs={RATE_HZ}&seed={n}&name=bed-{n}" for n in range(case.streams))
        return [word for address in addresses for word in ("--device", address)], [0]
    pace = ["max"] if case.chunk_ms is None else ["1", "--chunk", str(case.chunk_ms)]
    records = write_records(folder, min(case.streams, _RECORDS))
    played = itertools.islice(itertools.cycle(records), case.streams)
    lengths = [header.with_suffix(".dat").stat().st_size // 2 for header in records]
    return [*map(str, played), "--loop", "--speed", *pace], lengths


def scale_tables(figures: Sequence[ScaleFigures]) -> list[Table]:
    """Return what the streams take, and how late their beats and alerts are, as two tables."""
    rows = [to_json(one) for one in figures]
    return [
        Table(
            title="patients of one hub",
            columns=list(_LOAD.values()),
            rows=[tuple(_in_short(row[name]) for name in _LOAD) for row in rows],
        ),
        Table(
            title="their beats and alerts, and the memory",
            columns=("case", *_LATENESS.values()),
            rows=[(case_name(row), *(_in_short(row[name]) for name in _LATENESS)) for row in rows],
        ),
    ]


def _in_short(value: object) -> str:
    """Return a figure as text, a whole one without a fraction; empty for none."""
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return "" if value is None else str(value)


def write_records(folder: Path, count: int) -> list[Path]:
    """Write records that are out of step into a folder; return their headers.

    The n-th goes through the bundled record once, from n / ``count`` of it on, and then on to twice
    as far: so played in a loop they stay out of step.
    """
    adc = np.fromfile(DEMO_RECORD.with_suffix(".dat"), "<i2")
    headers = []
    for n in range(count):
        name, later = f"bed{n}", n * adc.size // count
        samples = np.resize(np.roll(adc, -later), adc.size + later)
        (folder / f"{name}.dat").write_bytes(samples.tobytes())
        signal = f"16 {GAIN} 11 {ADC_ZERO} {samples[0]} {samples.sum(dtype='<i2')} 0 MLII"
        headers.append(header := folder / f"{name}.hea")
        header.write_text(f"{name} 1 {RATE_HZ} {samples.size}\n{name}.dat {signal}\n")
    return headers


@dataclass(frozen=True, slots=True)
class _Moment:
    """The state of the processes at one time."""

    at: float
    report: SystemReport
    used_s: dict[str, float]
    """Processor time of each process, in seconds."""
    alerts: Sequence[tuple[float, Alert]]
    """Those that were received since the moment before, each with the time."""


def _after(system: System, subscriber: Subscriber, seconds: float) -> _Moment:
    """Return the state at the first report that comes ``seconds`` from now, or later."""
    due = time.monotonic() + seconds
    alerts: list[tuple[float, Alert]] = []
    while True:
        for message in subscriber.receive(_RECEIVE_S):
            if isinstance(message, PublishedAlert):
                alerts.append((time.monotonic(), message))
            elif isinstance(message, SystemReport) and time.monotonic() >= due:
                used_s = {name: cpu_s(pid) for name, pid in system.pids.items()}
                return _Moment(time.monotonic(), message, used_s, alerts)
        system.check()


def _quantile(
    after: StageHistogram, before: StageHistogram, buckets_ms: list[float], share: float
) -> float | None:
    """Return the end of the bucket in which a quantile of what came in between lies."""
    count = after.count - before.count
    for end, up_to, then in zip(buckets_ms, after.cumulative, before.cumulative, strict=True):
        if count and up_to - then >= share * count:
            return end
    return None
