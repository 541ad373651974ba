"""`monitor bench`: measure this installation; the figures name the machine and the commit.

Nothing here decides anything; figures are printed, never asserted.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from models.evaluation.protocols.beatgan import evaluate_beatgan
from models.evaluation.report.documents import Bullets, Section
from models.evaluation.report.markdown import markdown
from models.evaluation.report.tables import Table, words
from models.inference.beat_classifier import BeatClassifier
from models.inference.beat_scorer import load_scorer
from models.inference.student import StudentScorer
from models.measure.provenance import Provenance, provenance
from models.measure.result_json import to_json
from monitor.inputs import data_folder
from monitor.measure.bench_cluster import SharedFigures, measure_sharing
from monitor.measure.bench_kernels import KernelFigures, measure_kernels, shortest_s
from monitor.measure.bench_night import NightFigures, measure_night
from monitor.measure.bench_scale import CASES, Case, ScaleFigures, measure_cases, scale_tables
from monitor.measure.bench_screen import ScreenFigures, measure_screen
from monitor.measure.bench_stream import StreamFigures, measure_stream
from monitor.measure.bench_system import (
    EmbeddedFigures,
    LiveFigures,
    ReplayFigures,
    ScanFigures,
    StartFigures,
    measure_embedded,
    measure_live,
    measure_replay,
    measure_scan,
    measure_start,
)
from monitor.measure.output import print_json, terminal_table
from pipeline.constants import MEASURES, SAMPLING_RATE_HZ, WINDOW_SAMPLES
from pipeline.errors import InputError
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.records import read_lead

_RECORD_S: Final = 1800
_LIVE_S: Final = 240
_BATCHES: Final = (1, 64, 256)
"""Beats at once: one, those of `pipeline.stream.embedded.BATCH`, and those of many streams."""

_MEANING: Final = (
    "**kernels**: raw sample to window, one core, a whole record a call; a live chunk is 19 ms.\n"
    "  sleepecg's detector on the same record, in turns. Worst: of noise, spikes, missing values\n"
    "  and 300 bpm the one that takes longest, over the ordinary record. Two and twelve leads of\n"
    "  one heart, over one lead: a record a call, and in live chunks.",
    "**models**: one thread, alternating in one run; the scorer is student and class model\n"
    "  together, the teacher BeatGAN's generator.",
    "**stream**: the pure core on a synthetic patient at 250 Hz with 1, 2 and 12 leads: processor\n"
    "  time for a second of signal without the scorer, in chunks of a second and in live chunks\n"
    "  with stamps; memory of a live stream after five minutes, and the bytes of its snapshot.",
    "**embedded**: the whole pipeline in one process. **replay**: source, hub, scorer and\n"
    "  subscriber as processes at full speed, from the first chunk to the last alert.",
    "**live**: one stream in real time; latency from the R sample leaving the source to the\n"
    "  message at a subscriber in another process than the hub, 500 ms of it the window itself;\n"
    "  window: from its last sample leaving the source; alert says: the latency that the alerts\n"
    "  themselves state; memory is the proportional set size of hub and scorer.",
    "**scan**: the whole command, with both leads of a record; beside it with the first alone.\n"
    "  **start**: the whole command, kernels compiled before. All other parts have one lead.",
    "**screen**: 64 live streams, the bundled record in chunks of 20 ms; processor time of each\n"
    "  process over a core, with a dashboard of 160 x 50 on a pseudo-terminal, then with a wall\n"
    "  in its place that nobody looks at, then one viewer with 16 strips; key: from a key to the\n"
    "  first bytes of the picture that it changed, the help and back, which changes all of it.\n"
    "  **night**: `monitor report` of a record of 24 h at 250 Hz, the whole command.",
    "**patients of one hub**: records as many streams from one source, in real time or, where no\n"
    "  chunk is named, at full speed; each is the bundled one from another moment on, so that no\n"
    "  beat and no alarm comes to all at once. Or as many synthetic devices of one process.\n"
    "  Patients is how many the hub keeps up with, or their worth of signal; see docs/scale.md.\n"
    "  Beat: from the arrival of its R sample at the hub to the report, the upper end of a bucket\n"
    "  of the hub's histogram. Alert: from when the sample was due at which its rule was sure, by\n"
    "  real time, to the alert at a subscriber in another process, so with all waits and, where\n"
    "  it is about a beat, the window; only those that say 'on', as the others wait by their\n"
    "  rules. Alerts is how many came meanwhile: of fewer than 100 there is no p99. When samples\n"
    "  are due is known from what the hub answered in the warm-up. If it was behind each time,\n"
    "  alerts came even later than is said. kB a stream: what one adds to the memory of the hub\n"
    "  of one stream, in units of 1,024 bytes.",
    "**cluster**: `monitor bench --cluster`: the bundled record as many streams at full speed,\n"
    "  in chunks of a second, through one worker and through two; processor time of each. Sources\n"
    "  and brokers, librdkafka's mock cluster, are not part of it. One worker's time over that of\n"
    "  the busier of two is how much more two serve where each has a core; 2 and a little more is\n"
    "  all that there is, as each of two has less waiting than the one.",
    "**student**: `monitor evaluate beatgan`.",
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Why a part was not measured."""

    skipped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentFigures:
    """Means over the five fold students by the published protocol."""

    beatgan_auc: float
    beatgan_ap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """The figures of an installation, part by part."""

    machine: Provenance
    kernels: KernelFigures
    models: dict[str, float]
    stream: StreamFigures
    embedded: EmbeddedFigures
    replay: ReplayFigures
    live: LiveFigures
    scan: ScanFigures | Skipped
    scan_one_lead: ScanFigures | Skipped
    student: StudentFigures | Skipped
    start: StartFigures
    screen: ScreenFigures | Skipped
    night: NightFigures
    cluster: SharedFigures | Skipped
    scale: list[ScaleFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreResult:
    """What runs without files, sockets and other processes."""

    machine: Provenance
    kernels: KernelFigures
    models: dict[str, float]
    stream: StreamFigures
    embedded: EmbeddedFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterResult:
    """What a second worker of a cluster gains on this machine."""

    machine: Provenance
    cluster: SharedFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenResult:
    """What a ward costs that somebody looks at, and the report of a night."""

    machine: Provenance
    screen: ScreenFigures | Skipped
    night: NightFigures


Result: TypeAlias = BenchResult | CoreResult | ClusterResult | ScreenResult
"""Figures of one or more parts, each of which has a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleResult:
    """How many patients a hub of this installation takes."""

    machine: Provenance
    cases: list[ScaleFigures]


def bench_core(*, as_json: bool) -> None:
    """Measure kernels, models, streams and the whole in one process; print the table (or JSON)."""
    x = _record()
    result = CoreResult(
        machine=provenance(),
        kernels=_measured("kernels", lambda: measure_kernels(x)),
        models=_measured("models", _models),
        stream=_measured("stream", measure_stream),
        embedded=_measured("embedded", lambda: measure_embedded(x)),
    )
    _print(result, as_json=as_json)


def bench_scale(cases: Sequence[Case], *, as_json: bool) -> None:
    """Measure how many patients a hub takes, and print the table (or JSON).

    Args:
        cases: what to measure; empty for the usual ones.
        as_json: print JSON.
    """
    result = ScaleResult(machine=provenance(), cases=measure_cases(cases or CASES))
    if as_json:
        print_json(result)
    else:
        tables = map(terminal_table, scale_tables(result.cases))
        Console().print(*tables, f"{result.machine}.")


def bench_cluster(*, as_json: bool) -> None:
    """Measure one worker of a Kafka cluster beside two, and print the table (or JSON).

    Raises:
        ConfigError: the Kafka client is not installed.
    """
    result = ClusterResult(machine=provenance(), cluster=measure_sharing())
    _print(result, as_json=as_json)


def bench_screen(data: Path | None, *, as_json: bool) -> None:
    """Measure dashboard, wall and report, and print the table (or JSON)."""
    result = ScreenResult(machine=provenance(), screen=_screen(), night=measure_night(_mitdb(data)))
    _print(result, as_json=as_json)


def bench(data: Path | None, *, as_json: bool, json_file: Path | None, report: Path | None) -> None:
    """Measure, print a table (or JSON), and write JSON or a Markdown report where asked to."""
    result = _measure(data)
    if json_file is not None:
        json_file.write_text(json.dumps(to_json(result), indent=2) + "\n", encoding="utf-8")
    if report is not None:
        report.write_text(markdown(bench_sections(result)), encoding="utf-8")
    _print(result, as_json=as_json)


def _measured(name: str, measure: Callable[[], T]) -> T:
    """Measure a part, and say so on stderr."""
    Console(stderr=True).print(f"measuring {name} ...", highlight=False)
    return measure()


def _record() -> NDArray[np.float32]:
    """Return half an hour of a synthetic patient with many ectopic beats."""
    patient = SyntheticPatient(PatientConfig(fs=float(SAMPLING_RATE_HZ), ectopic=0.2, seed=3))
    return np.ascontiguousarray(patient.generate(_RECORD_S * SAMPLING_RATE_HZ).samples)


def _measure(data: Path | None) -> BenchResult:
    x = _record()
    return BenchResult(
        machine=provenance(),
        kernels=_measured("kernels", lambda: measure_kernels(x)),
        models=_measured("models", _models),
        stream=_measured("stream", measure_stream),
        embedded=_measured("embedded", lambda: measure_embedded(x)),
        replay=_measured("replay", lambda: measure_replay(x)),
        live=_measured("live", lambda: measure_live(*_live_signal(data, x))),
        scan=_measured("scan", lambda: _scan(data)),
        scan_one_lead=_measured("scan of one lead", lambda: _scan(data, "--lead", "0")),
        student=_measured("student", lambda: _student(data)),
        start=_measured("start", measure_start),
        screen=_measured("screen", _screen),
        night=_measured("night", lambda: measure_night(_mitdb(data))),
        cluster=_measured("cluster", _cluster),
        scale=_measured("scale", lambda: measure_cases(CASES)),
    )


def _models() -> dict[str, float]:
    """Measure the models beside each other, one thread each, alternating."""
    from models.evaluation.protocols.teacher import teacher_reconstruction  # and with it torch

    student, scorer = StudentScorer.load(device="cpu"), load_scorer(device="cpu")
    classes, teacher = BeatClassifier.load(), teacher_reconstruction()
    figures = {}
    for batch in _BATCHES:
        uniform = np.random.default_rng(0).uniform(-1, 1, (batch, WINDOW_SAMPLES))
        windows, measures = uniform.astype(np.float32), np.zeros((batch, MEASURES), np.float32)
        times = max(5, 200 // batch)
        runs: dict[str, Callable[[], object]] = {
            "student": partial(student.score, windows),
            "class_model": partial(classes.probabilities, windows, measures),
            "scorer": partial(scorer.score, windows, measures),
            "teacher": partial(teacher, windows),
        }
        best = dict.fromkeys(runs, float("inf"))
        for _ in range(3):
            for name, run in runs.items():
                best[name] = min(best[name], shortest_s(run, times))
        for name, seconds in best.items():
            figures[f"{name}_us_per_beat_batch_{batch}"] = round(1e6 * seconds / batch, 1)
        figures[f"teacher_over_student_batch_{batch}"] = round(best["teacher"] / best["student"], 1)
    return figures


def _live_signal(data: Path | None, x: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
    """Return a real record with many ectopic beats if there is one, otherwise the synthetic."""
    folder = _mitdb(data)
    name, signal = "synthetic", x
    if folder is not None:
        name, signal = "mitdb 208", read_lead(folder / "208")[1]
    return name, np.ascontiguousarray(signal[: _LIVE_S * SAMPLING_RATE_HZ])


def _mitdb(data: Path | None) -> Path | None:
    try:
        folder = data_folder(data) / "mitdb"
    except InputError:
        return None
    return folder if folder.is_dir() else None


def _scan(data: Path | None, *options: str) -> ScanFigures | Skipped:
    folder = _mitdb(data)
    return Skipped(skipped="no mitdb") if folder is None else measure_scan(folder, *options)


def _student(data: Path | None) -> StudentFigures | Skipped:
    folder = _mitdb(data)
    if folder is None:
        return Skipped(skipped="no mitdb")
    folds = evaluate_beatgan(folder).result.folds
    return StudentFigures(beatgan_auc=round(folds.auc.mean, 4), beatgan_ap=round(folds.ap.mean, 4))


def _cluster() -> SharedFigures | Skipped:
    if find_spec("confluent_kafka") is None:
        return Skipped(skipped="the extra kafka is not installed")
    return measure_sharing()


def _screen() -> ScreenFigures | Skipped:
    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "websockets")):
        return Skipped(skipped="the extra wall is not installed")
    return measure_screen()


def _print(result: Result, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        Console().print(terminal_table(_table(result)))


def _rows(result: Result) -> Iterator[tuple[str, str, str]]:
    for part, figures in to_json(result).items():
        if part != "machine" and isinstance(figures, dict):
            yield from ((part, words(name), str(value)) for name, value in figures.items())


def _table(result: Result) -> Table:
    return Table(
        title=str(result.machine),
        columns=("part", "what", "figure"),
        rows=list(_rows(result)),
        text_columns=2,
    )


def bench_sections(result: BenchResult) -> list[Section]:
    """Return the figures with their meaning."""
    written = f"Written by `make figures`. {result.machine}."
    tables = _table(result), *scale_tables(result.scale)
    return [Section(title="Figures", level=1, blocks=[written, *tables, Bullets(_MEANING)])]
