"""The noise stress test: the stream under noise of known strength.

The noise of the MIT-BIH Noise Stress Test Database (baseline wander ``bw``, electrode motion
``em``, muscle ``ma``) is added to the records 118 and 119, of which that database itself was made
(`models.evaluation.stress.noise`), and the result goes through the live stream
(`pipeline.stream.embedded`). Beats are counted as ``bxb`` does, after five minutes, noisy and clean
parts together. They are counted a second time without the spans that the stream called not
analysable: neither what was found there nor the beats of the reference there count.

One lead is watched, the first, or those that are asked for, together. As in that database each
lead gets another signal of the noise, at the same ratio to its own QRS: all are noisy at once. What
noise in one of two leads costs is `models.evaluation.stress.lead_troubles`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.ec57.annotators import Score
from models.ec57.bxb import BeatComparison, compare_beats
from models.ec57.matching import ANOMALOUS, LEARNING_S, classes_of, match_beats, match_samples
from models.evaluation.stress.noise import (
    NORMAL_QRS,
    add_noise,
    noise_amplitude,
    noise_gain,
    noisy_parts,
    signal_amplitude,
)
from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from models.measure.result_json import INLINE
from pipeline.alarms.settings import AlarmSettings
from pipeline.errors import InputError
from pipeline.schema.public import Alert
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import Scorer
from pipeline.signal.samples import in_blocks, side_by_side
from pipeline.stream.embedded import EmbeddedRunner
from replay.annotations import Annotations, read_annotations, read_beats
from replay.headers import header_path, load_header, quoted
from replay.lead_sets.asked import AskedLeads, asked_indices, read_asked
from replay.lead_sets.choice import ALL
from replay.records import read_leads

RECORDS: Final = ("118", "119")
NOISES: Final = ("bw", "em", "ma")
SNRS_DB: Final = (24, 18, 12, 6, 0, -6)

_CHECKED_KINDS: Final = ("anomalous_beat", "asystole")
"""Alarms that the beats of the reference alone prove true or false."""

_BLOCK_S: Final = 10.0

_SHUT_DOWN: Final = 0x30
"""Subtype of a ``~`` from which on an annotator calls the signals unreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOutput:
    """The beats and alerts of one record."""

    found: NDArray[np.int64]
    """R peaks, int64[b]."""
    not_analysable: list[tuple[int, int]]
    """First sample and end of the spans called not analysable."""
    alerts: list[Alert]
    """Raised alerts of anomalous beats and of asystole."""


def run_stream(
    samples: NDArray[np.float32],
    fs_hz: float,
    scorer: Scorer,
    config: LiveScoreConfig,
    leads: Sequence[str] = ("",),
) -> StreamOutput:
    """Return the output of the live stream for ``leads``, float32[n] or float32[leads, n] in mV."""
    blocks = in_blocks(samples, round(_BLOCK_S * fs_hz))
    runner = EmbeddedRunner("noise", fs_hz, scorer, config, leads=leads)
    found: list[int] = []
    alerts: list[Alert] = []
    for outcome in runner.run(blocks):
        found += [report.beat.sample for report in outcome.reports]
        alerts += outcome.alerts
    technical = [alert for alert in alerts if alert.kind in ("not_analysable", "lead_off")]
    begins = [alert.sample for alert in technical if alert.state == "on"]
    ends = [alert.sample for alert in technical if alert.state == "off"]
    ends += [samples.shape[-1]] * (len(begins) - len(ends))
    return StreamOutput(
        found=np.array(found, dtype=np.int64),
        not_analysable=list(zip(begins, ends, strict=True)),
        alerts=[a for a in alerts if a.kind in _CHECKED_KINDS and a.state == "on"],
    )


def withdrawn(output: StreamOutput, fs_hz: float) -> Annotations:
    """Return the beats as those of an annotator that is shut down where it could not analyse.

    Its detections there are withdrawn, and EC57 counts the beats of the reference there apart (X).
    """
    kept = np.ones(output.found.size, dtype=bool)
    for first, end in output.not_analysable:
        kept &= (output.found < first) | (output.found >= end)
    beats = output.found[kept]
    marks = np.array([at for span in output.not_analysable for at in span], dtype=np.int64)
    sample = np.concatenate((beats, marks))
    # A span may begin where the previous one ends. A stable sort keeps the end before the begin,
    # so that the annotator is shut down after both.
    order = np.argsort(sample, kind="stable")
    symbol = np.array(["N"] * beats.size + ["~"] * marks.size)
    subtype = np.concatenate(
        (
            np.zeros(beats.size, dtype=np.int64),
            np.tile([_SHUT_DOWN, 0], len(output.not_analysable)),
        )
    ).astype(np.int64)
    return Annotations(
        sample=sample[order],
        symbol=symbol[order].tolist(),
        subtype=subtype[order],
        aux_note=[""] * sample.size,
        fs=fs_hz,
    )


def false_alerts(
    output: StreamOutput, annotated: NDArray[np.int64], classes: NDArray[np.str_], fs_hz: float
) -> int:
    """Return how many alerts on the heart after the learning period are false.

    Args:
        output: of the stream.
        annotated: positions of the beats of the reference, int64[n].
        classes: of these beats, str[n], of `models.ec57.matching.CLASSES`.
        fs_hz: samples a second.

    An alert of anomalous beats is false where the first of them is normal or no beat, one of an
    asystole where the reference has a beat in the time without.
    """
    pairs = match_beats(annotated, output.found, match_samples(fs_hz))
    of_found = {int(output.found[j]): classes[i] for i, j in enumerate(pairs) if j >= 0}
    false = 0
    for alert in output.alerts:
        if alert.sample < LEARNING_S * fs_hz:
            continue
        if alert.kind == "anomalous_beat":
            false += of_found.get(alert.sample) not in ANOMALOUS
        else:
            since = alert.sample - AlarmSettings().asystole_s * fs_hz
            false += bool(((annotated > since) & (annotated <= alert.sample)).any())
    return false


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFigures:
    """The figures of one record, or of several together."""

    hours: float
    """Counted time."""
    qrs: Score
    """Of all that was found."""
    false_detections_per_hour: float
    analysable: Score
    """Without the spans that are not analysable."""
    not_analysable: float
    """Share of the noisy time, %."""
    alerts: int
    """On the heart, after the learning period."""
    false_alerts: int
    false_alerts_per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLine:
    """The figures of one record and one ratio; the keys are null where they are of all."""

    record: str | None
    """None: all records together."""
    noise: str | None
    snr_db: int | None
    """None, as ``noise``: without noise."""
    leads: list[str]
    """Those that were watched."""
    figures: NoiseFigures = field(metadata=INLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The counts of one record, or of several together."""

    hours: float
    """Counted time."""
    matrix: NDArray[np.int64]
    """As in `models.ec57.bxb.BeatComparison`, of all that was found."""
    analysable: NDArray[np.int64]
    """The same without what was found where the signal was not analysable."""
    noisy_s: float
    not_analysable_s: float
    """Part of the noisy time that was called not analysable."""
    alerts: int
    """On the heart, after the learning period."""
    false_alerts: int

    def __add__(self, other: "Count") -> "Count":
        """Return both together."""
        return Count(
            hours=self.hours + other.hours,
            matrix=self.matrix + other.matrix,
            analysable=self.analysable + other.analysable,
            noisy_s=self.noisy_s + other.noisy_s,
            not_analysable_s=self.not_analysable_s + other.not_analysable_s,
            alerts=self.alerts + other.alerts,
            false_alerts=self.false_alerts + other.false_alerts,
        )

    def figures(self) -> NoiseFigures:
        """Return the figures of these counts."""
        qrs = _score(self.matrix, self.matrix[:5, 5:])
        return NoiseFigures(
            hours=self.hours,
            qrs=qrs,
            false_detections_per_hour=qrs.fp / self.hours,
            analysable=_score(self.analysable, self.analysable[:5, 5]),
            not_analysable=100.0 * self.not_analysable_s / self.noisy_s,
            alerts=self.alerts,
            false_alerts=self.false_alerts,
            false_alerts_per_hour=self.false_alerts / self.hours,
        )


def _score(matrix: NDArray[np.int64], missed: NDArray[np.int64]) -> Score:
    right = int(matrix[:5, :5].sum())
    return Score(right, int(missed.sum()), right, int(matrix[5:, :5].sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRecord:
    """Leads of a record without noise, and its reference."""

    leads: dict[str, int]
    """Their names, each with its place among the signals."""
    samples: NDArray[np.float32]
    """float32[n] of one lead, float32[leads, n] of several, mV."""
    fs_hz: float
    reference: Annotations
    beats: NDArray[np.int64]
    classes: NDArray[np.str_]
    amplitude_mv: list[float]
    """Peak to peak, of a normal QRS, in each lead."""

    def with_noise(self, noise: NDArray[np.float32], snr_db: float) -> NDArray[np.float32]:
        """Return the samples with noise, float32[k, m] in mV; each signal of it in another lead."""
        noisy = []
        rows = zip(np.atleast_2d(self.samples), self.leads.values(), self.amplitude_mv, strict=True)
        for lead, place, amplitude_mv in rows:
            added = noise[place % len(noise)]
            gain = noise_gain(snr_db, amplitude_mv, noise_amplitude(added, self.fs_hz))
            noisy.append(add_noise(lead, added, gain, self.fs_hz))
        return side_by_side(noisy) if len(noisy) > 1 else noisy[0]


def read_clean(path: Path, leads: AskedLeads = 0) -> CleanRecord:
    """Return a lead of a record, or several, with its annotations; the first by default.

    Raises:
        LeadError: the record has no such lead.
        InputError: the record cannot be used, is shorter than the learning period, or has no
            normal QRS.
    """
    info, samples = read_asked(path, leads)
    if samples.shape[-1] <= LEARNING_S * info.fs_hz:
        raise InputError(
            f"record {quoted(path)} has no noisy part: it ends within {LEARNING_S:g} s; use another"
        )
    beats, symbols = read_beats(path, lead=0)
    normal = beats[[symbol in NORMAL_QRS for symbol in symbols]]
    try:
        amplitude_mv = [
            signal_amplitude(lead, normal, info.fs_hz) for lead in np.atleast_2d(samples)
        ]
    except ValueError:
        raise InputError(
            f"record {quoted(path)} has no normal QRS to measure; use another"
        ) from None
    places = asked_indices(load_header(header_path(path)), leads)
    return CleanRecord(
        leads=dict(zip(info.leads, places, strict=True)),
        samples=samples,
        fs_hz=info.fs_hz,
        reference=read_annotations(path, "atr", fs_hz=info.fs_hz),
        beats=beats,
        classes=classes_of(symbols),
        amplitude_mv=amplitude_mv,
    )


def count(
    record: CleanRecord, samples: NDArray[np.float32], scorer: Scorer, config: LiveScoreConfig
) -> Count:
    """Run the stream on ``samples`` of a record, as long as its own, and count."""
    fs_hz, n = record.fs_hz, samples.shape[-1]
    output = run_stream(samples, fs_hz, scorer, config, list(record.leads))
    all_found = Annotations(
        sample=output.found,
        symbol=["N"] * output.found.size,
        subtype=np.zeros(output.found.size, dtype=np.int64),
        aux_note=[""] * output.found.size,
        fs=fs_hz,
    )
    parts = noisy_parts(n, fs_hz)

    def compared(found: Annotations) -> BeatComparison:
        return compare_beats(record.reference, found, fs_hz, n)

    return Count(
        hours=(n / fs_hz - LEARNING_S) / 3600.0,
        matrix=compared(all_found).matrix,
        analysable=compared(withdrawn(output, fs_hz)).matrix,
        noisy_s=sum(end - first for first, end in parts) / fs_hz,
        not_analysable_s=sum(
            max(0, min(end, until) - max(first, since))
            for first, end in parts
            for since, until in output.not_analysable
        )
        / fs_hz,
        alerts=sum(alert.sample >= LEARNING_S * fs_hz for alert in output.alerts),
        false_alerts=false_alerts(output, record.beats, record.classes, fs_hz),
    )


def evaluate_noise(
    data: Path, *, leads: AskedLeads = 0, on_step: Callable[[str], None] = lambda text: None
) -> Iterator[NoiseLine]:
    """Yield the figures of each record and, after each ratio, of all of them together.

    First without noise, then for each noise from the weakest to the strongest. The alerts are those
    of the student and the calibration that ship.

    Args:
        data: folder that holds ``mitdb/`` and ``nstdb/``.
        leads: of the records, to be watched together.
        on_step: called before each run: `STEPS` times.

    Raises:
        InputError: a record is missing or unusable, or its rate is not that of the noise.
        ArtifactError: what ships is unusable.
    """
    scorer, config = load_scorer(device="cpu"), load_calibration()
    records = {name: read_clean(data / "mitdb" / name, leads) for name in RECORDS}
    noises = {name: read_leads(data / "nstdb" / name, ALL) for name in NOISES}
    watched = list(next(iter(records.values())).leads)
    for name, (info, _) in noises.items():
        for record in records.values():
            if record.fs_hz != info.fs_hz:
                raise InputError(
                    f"noise {quoted(name)} has {info.fs_hz:g} Hz, the records {record.fs_hz:g} Hz: "
                    "they must be equal"
                )

    def lines(noise: str | None, snr_db: int | None) -> Iterator[NoiseLine]:
        def line(record: str | None, leads: list[str], count: Count) -> NoiseLine:
            return NoiseLine(
                record=record, noise=noise, snr_db=snr_db, leads=leads, figures=count.figures()
            )

        counts = []
        for name, record in records.items():
            on_step(f"{name} clean" if noise is None else f"{name} {noise} {snr_db} dB")
            samples = record.samples
            if noise is not None and snr_db is not None:
                samples = record.with_noise(noises[noise][1], snr_db)
            counts.append(count(record, samples, scorer, config))
            yield line(name, list(record.leads), counts[-1])
        yield line(None, watched, reduce(add, counts))

    yield from lines(None, None)
    for noise in NOISES:
        for snr_db in SNRS_DB:
            yield from lines(noise, snr_db)


STEPS: Final = len(RECORDS) * (1 + len(NOISES) * len(SNRS_DB))
"""Runs of `evaluate_noise`."""
