"""Lethal alarms, runs and QRS complexes on records whose reference names every beat: mitdb, svdb.

An alarm is false if no stretch of the reference confirms it, generously: a rate within `TOLERANCE`
of its limit, a run of three ventricular beats for a tachycardia, up to five seconds beside it. An
episode counts as missed only where the rule leaves no doubt: a rate beyond its limit by more than
that tolerance, five ventricular beats at 100 bpm. What lies between is neither for nor against.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.mitdb import DS2
from models.data.rhythms import Stretch
from models.evaluation.alarms.bootstrap import Estimate, estimate, percent
from models.evaluation.alarms.detection import Detected, detect
from models.evaluation.alarms.false_alarms import FalseAlarms, FalseOfRecord, count_false
from models.evaluation.alarms.qrs import QrsOfRecord, QrsResult, compare_qrs, sum_qrs
from models.evaluation.alarms.spans import (
    FIBRILLATION,
    LETHAL,
    NEAR_S,
    TACHYCARDIA,
    Agreement,
    AlarmSpan,
    agree,
    delay_s,
    overlaps,
    spans_of,
)
from models.evaluation.alarms.wrong import WrongCall, missed_or_late, nearest, words, wrong_alarm
from pipeline.alarms.rate_rules import FAST_BEATS, SLOW_BEATS
from pipeline.alarms.settings import DEFAULTS
from replay.annotations import read_beats, read_flutter
from replay.lead_sets.asked import AskedLeads

TOLERANCE: Final = 5.0
"""A rate within this many bpm is right (ANSI/AAMI EC13: 10 % or 5 bpm, whichever is more)."""

SHORT_RUN: Final = (3, 4)
"""Ventricular beats of a run that is no tachycardia by our rule; it has an alarm of its own."""

RUN_ALARMS: Final = ("ventricular_run", TACHYCARDIA, FIBRILLATION)

_RUN_NEAR_S: Final = 1.0
"""A run is known a beat or two after its end."""


class Reference(NamedTuple):
    """What the annotations of a record say, by the kind of our alarm."""

    confirming: Mapping[str, Sequence[Stretch]]
    """Stretches that make an alarm right."""
    required: Mapping[str, Sequence[Stretch]]
    """Stretches that must raise one."""
    short_runs: Sequence[Stretch]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindResult:
    """One kind of alarm."""

    own_alarm: Agreement
    any_alarm: Agreement
    """Of any lethal alarm."""
    right: int
    false: int
    """Alarms of this kind that the reference confirms, and does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedRow:
    """The lethal alarms of one record that has any, or that misses one."""

    record: str
    alarms: list[AlarmSpan]
    false: list[AlarmSpan]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedResult:
    """True and false lethal alarms, runs and QRS complexes of a database."""

    records: int
    hours: float
    kinds: dict[str, KindResult]
    false_lethal: FalseAlarms
    unseen_records: list[str]
    """Those on which no weights were fitted; empty where the database had no part in a fit."""
    false_lethal_unseen: FalseAlarms
    """In these records."""
    vt_runs: int
    """Of five ventricular beats or more at 100 bpm or more."""
    vt_runs_found: int
    """By ventricular tachycardia or fibrillation, whenever it comes."""
    short_runs: int
    """Of three and four ventricular beats."""
    short_runs_found: int
    """By any alarm of a ventricular rhythm."""
    short_runs_percent: Estimate
    qrs: QrsResult
    wrong: list[WrongCall]
    rows: list[AnnotatedRow]


class AnnotatedRecord(NamedTuple):
    """One record: our side and the reference."""

    name: str
    detected: Detected
    spans: list[AlarmSpan]
    reference: Reference
    qrs: QrsOfRecord

    @property
    def false(self) -> list[AlarmSpan]:
        """Return the lethal alarms that nothing confirms."""
        confirming = self.reference.confirming
        return [
            span
            for span in self.spans
            if not any(overlaps(span, s, NEAR_S) for s in confirming[span.kind])
        ]

    def runs_found(self) -> list[bool]:
        """Return of each short run whether an alarm of a ventricular rhythm was on.

        An alarm stays on for ten seconds after a run: the next run then belongs to it.
        """
        spans = spans_of(self.detected.alerts, RUN_ALARMS, self.detected.seconds)
        return [
            any(overlaps(span, run, _RUN_NEAR_S) for span in spans)
            for run in self.reference.short_runs
        ]


def evaluate_annotated(
    folder: Path,
    records: Sequence[str],
    on_step: Callable[[str], None],
    leads: AskedLeads = 0,
    *,
    database: str,
    unseen: Collection[str] = (),
) -> AnnotatedResult:
    """Return the figures of a database; no weights were fitted on records ``unseen``.

    Args:
        folder: of the database.
        records: their names.
        on_step: called before each.
        leads: those to watch, by default the first signal.
        database: its name.
        unseen: records of it.

    Raises:
        InputError: a record is missing or unusable.
    """
    measured = []
    for name in records:
        on_step(f"{database} {name}")
        measured.append(_measure(folder / name, leads))
    return sum_annotated(database, measured, unseen)


def sum_annotated(
    database: str, measured: Sequence[AnnotatedRecord], unseen: Collection[str] = ()
) -> AnnotatedResult:
    """Return the figures of records that were measured."""
    apart = [one for one in measured if one.name in unseen]
    short = [one.runs_found() for one in measured]
    vt_delays = [
        delay_s([span for span in one.spans if span.kind in (TACHYCARDIA, FIBRILLATION)], run)
        for one in measured
        for run in one.reference.required[TACHYCARDIA]
    ]
    return AnnotatedResult(
        records=len(measured),
        hours=round(sum(one.detected.hours for one in measured), 2),
        kinds={kind: _kind(measured, kind) for kind in LETHAL},
        false_lethal=_count_false(measured),
        unseen_records=[one.name for one in apart],
        false_lethal_unseen=_count_false(apart),
        vt_runs=len(vt_delays),
        vt_runs_found=sum(late_s is not None for late_s in vt_delays),
        short_runs=sum(map(len, short)),
        short_runs_found=sum(map(sum, short)),
        short_runs_percent=estimate([(sum(found), len(found)) for found in short], percent),
        qrs=sum_qrs([one.qrs for one in measured]),
        wrong=[call for one in measured for call in _wrong_calls(database, one)],
        rows=[
            AnnotatedRow(record=one.name, alarms=one.spans, false=one.false)
            for one in measured
            if one.spans
        ],
    )


def _count_false(measured: Sequence[AnnotatedRecord]) -> FalseAlarms:
    return count_false([FalseOfRecord(one.false, one.detected.seconds) for one in measured])


evaluate_mitdb = partial(evaluate_annotated, database="mitdb", unseen=DS2)
evaluate_svdb = partial(evaluate_annotated, database="svdb")


def _measure(record: Path, leads: AskedLeads) -> AnnotatedRecord:
    detected = detect(record, leads)
    beats, symbols = read_beats(record, lead=0)
    fs_hz = detected.fs_hz
    flutter = [Stretch("VFL", a / fs_hz, b / fs_hz) for a, b in read_flutter(record, lead=0)]
    return AnnotatedRecord(
        record.name,
        detected,
        spans_of(detected.alerts, LETHAL, detected.seconds),
        reference_of(beats / fs_hz, symbols, flutter),
        compare_qrs(record, detected.beats, fs_hz, round(detected.seconds * fs_hz)),
    )


def reference_of(
    at_s: NDArray[np.float64], symbols: Sequence[str], flutter: Sequence[Stretch]
) -> Reference:
    """Return what the beats of a reference, float64[n] seconds, and its flutter ask for."""
    slow, fast = DEFAULTS.extreme_bradycardia_bpm, DEFAULTS.extreme_tachycardia_bpm
    runs = ventricular_runs(at_s, symbols)
    stretches = [run for run, _ in runs]
    tachycardias = [run for run, beats in runs if _is_tachycardia(run, beats)]
    silences = _silences(at_s)

    def beside_flutter(found: Sequence[Stretch]) -> list[Stretch]:
        return [s for s in found if not any(_meet(s, other) for other in flutter)]

    return Reference(
        confirming={
            "asystole": silences,
            TACHYCARDIA: [*stretches, *flutter],
            FIBRILLATION: [*stretches, *flutter],
            "extreme_bradycardia": rates_beyond(at_s, SLOW_BEATS, -1, slow + TOLERANCE),
            "extreme_tachycardia": [
                *rates_beyond(at_s, FAST_BEATS, 1, fast - TOLERANCE),
                *flutter,
            ],
        },
        required={
            "asystole": beside_flutter(silences),
            TACHYCARDIA: tachycardias,
            FIBRILLATION: list(flutter),
            "extreme_bradycardia": beside_flutter(
                rates_beyond(at_s, SLOW_BEATS, -1, slow - TOLERANCE, steady=True)
            ),
            "extreme_tachycardia": beside_flutter(
                rates_beyond(at_s, FAST_BEATS, 1, fast + TOLERANCE, steady=True)
            ),
        },
        short_runs=[run for run, beats in runs if beats in SHORT_RUN],
    )


def ventricular_runs(
    at_s: NDArray[np.float64], symbols: Sequence[str]
) -> list[tuple[Stretch, int]]:
    """Return the runs of three or more ventricular beats (V, E) of a reference, and their beats.

    ``at_s`` float64[n] are the times of all its beats.
    """
    runs, first = [], 0
    for ventricular, row in groupby(symbol in ("V", "E") for symbol in symbols):
        beats = len(list(row))
        if ventricular and beats >= SHORT_RUN[0]:
            run = Stretch(f"{beats} V", float(at_s[first]), float(at_s[first + beats - 1]))
            runs.append((run, beats))
        first += beats
    return runs


def _is_tachycardia(run: Stretch, beats: int) -> bool:
    fast = 60.0 * (beats - 1) >= DEFAULTS.tachycardia_bpm * (run.end_s - run.begin_s)
    return fast and beats >= DEFAULTS.tachycardia_beats


def _silences(at_s: NDArray[np.float64]) -> list[Stretch]:
    long = np.flatnonzero(np.diff(at_s) >= DEFAULTS.asystole_s)
    return [Stretch("no QRS", float(at_s[i]), float(at_s[i + 1])) for i in long]


def rates_beyond(
    at_s: NDArray[np.float64], beats: int, side: int, limit_bpm: float, *, steady: bool = False
) -> list[Stretch]:
    """Return where the reference's rate over ``beats`` is beyond a limit.

    Args:
        at_s: times of its beats, float64[n].
        beats: the number of beats that have a rate, that of their mean interval.
        side: 1 for above the limit, -1 for below.
        limit_bpm: the limit.
        steady: the median interval has to be beyond it as well: a pause is no slow rate.

    Returns:
        Stretches from the first to the last beat, those that overlap joined.
    """
    if at_s.size < beats:
        return []
    intervals = np.lib.stride_tricks.sliding_window_view(np.diff(at_s), beats - 1)
    beyond = side * (60.0 / intervals.mean(axis=1) - limit_bpm) > 0
    if steady:
        beyond &= side * (60.0 / np.median(intervals, axis=1) - limit_bpm) > 0
    joined: list[Stretch] = []
    for i in np.flatnonzero(beyond):
        begin_s, end_s = float(at_s[i]), float(at_s[i + beats - 1])
        if joined and begin_s <= joined[-1].end_s:
            begin_s = joined.pop().begin_s
        joined.append(Stretch("rate", begin_s, end_s))
    return joined


def _meet(one: Stretch, other: Stretch) -> bool:
    return one.begin_s <= other.end_s and one.end_s >= other.begin_s


def _kind(measured: Sequence[AnnotatedRecord], kind: str) -> KindResult:
    def agreement(kinds: Sequence[str]) -> Agreement:
        return agree(
            ([span for span in one.spans if span.kind in kinds], one.reference.required[kind])
            for one in measured
        )

    false = sum(span.kind == kind for one in measured for span in one.false)
    alarms = sum(span.kind == kind for one in measured for span in one.spans)
    return KindResult(
        own_alarm=agreement([kind]), any_alarm=agreement(LETHAL), right=alarms - false, false=false
    )


def _wrong_calls(database: str, one: AnnotatedRecord) -> list[WrongCall]:
    """Return the false alarms, the episodes without a lethal alarm, and the runs without any."""
    record = f"{database}/{one.name}"

    def missed(what: str, stretch: Stretch) -> WrongCall:
        # A beat of ours may lie a little beside its annotation.
        near = nearest(one.detected, stretch.begin_s - 0.2, stretch.end_s + 0.2)
        return WrongCall(record=record, at_s=round(stretch.begin_s, 2), wrong=what, ours=near)

    found = [wrong_alarm(record, span) for span in one.false]
    found += [
        missed(f"{too_late} {words(kind)}, {s.end_s - s.begin_s:.1f} s", s)
        for kind, stretches in one.reference.required.items()
        for s in stretches
        if (too_late := missed_or_late(delay_s(one.spans, s)))
    ]
    found += [
        missed(f"missed run of {run.name}", run)
        for run, found in zip(one.reference.short_runs, one.runs_found(), strict=True)
        if not found
    ]
    return sorted(found, key=lambda call: call.at_s)
