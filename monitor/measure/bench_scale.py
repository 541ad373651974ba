"""Measure how many patients one hub takes: the processor time of each process, and lateness.

Records are played as a number of streams, from one source, through hub and scorer as processes: in
real time, or as fast as they go. Each is the bundled one from another moment on, and none is as
long as another: the patients of a ward have no beat and no alarm in common. Or as many synthetic
devices are read, as `monitor live` reads them. The processor time of a patient hardly depends on
other load of the machine; whether all keep real time does.
"""

import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np

from monitor.measure.process_usage import cpu_s
from monitor.run.supervisor import System
from pipeline.client import Subscriber
from pipeline.schema.public import StageHistogram, SystemReport
from pipeline.stream.streams import MAX_STREAMS
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
    Case(1, 20), Case(64, 20), Case(64, 20, devices=True), Case(250, 20), Case(1000, 20),
    Case(250, 200), Case(1000, 200), Case(4000, 200), Case(50), Case(250),
)  # fmt: skip

_WARM_UP_S: Final = 15.0
_BEGUN_A_S: Final = 25
"""Streams that a second of the warm-up is for: while they begin signal waits, and a hub that is
nearly busy takes as long again to come to its end."""

_SECONDS: Final = 20.0
_RECEIVE_S: Final = 0.2

_RECORDS: Final = 40
"""Different records; of more streams, several have the same one, under other names."""


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


def measure_scale(case: Case, *, seconds: float = _SECONDS) -> ScaleFigures:
    """Run the streams of a case, and measure the last ``seconds``."""
    streams, warm_up_s = case.streams, max(_WARM_UP_S, case.streams / _BEGUN_A_S)
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
            system.start_source(_source(case, Path(folder)))
            before = _after(system, subscriber, warm_up_s)
            after = _after(system, subscriber, seconds)
    samples = after.report.received_samples - before.report.received_samples
    patients = samples / RATE_HZ / (after.at - before.at)
    used_s = {name: after.used_s[name] - before.used_s[name] for name in before.used_s}
    percent = {name: 100 * used / (after.at - before.at) for name, used in used_s.items()}
    total = after.report.latency_ms["total"], before.report.latency_ms["total"]
    resident = after.report.resident_bytes
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
    )


def _source(case: Case, folder: Path) -> list[str]:
    """Return the arguments of ``monitor source``, for which records are written into a folder."""
    if case.devices:
        addresses = (f"synthetic:?fs={RATE_HZ}&seed={n}&name=bed-{n}" for n in range(case.streams))
        return [word for address in addresses for word in ("--device", address)]
    pace = ["max"] if case.chunk_ms is None else ["1", "--chunk", str(case.chunk_ms)]
    records = itertools.cycle(write_records(folder, min(case.streams, _RECORDS)))
    return [*map(str, itertools.islice(records, case.streams)), "--loop", "--speed", *pace]


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


def _after(system: System, subscriber: Subscriber, seconds: float) -> _Moment:
    """Return the state at the first report that comes ``seconds`` from now, or later."""
    due = time.monotonic() + seconds
    while True:
        for message in subscriber.receive(_RECEIVE_S):
            if isinstance(message, SystemReport) and time.monotonic() >= due:
                used_s = {name: cpu_s(pid) for name, pid in system.pids.items()}
                return _Moment(time.monotonic(), message, used_s)
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
