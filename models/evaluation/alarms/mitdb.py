"""Lethal alarms on the MIT-BIH records, whose reference names beats and marks flutter."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.rhythms import Stretch
from models.evaluation.alarms.detection import detect_alarms
from models.evaluation.alarms.spans import (
    FIBRILLATION,
    LETHAL_RHYTHMS,
    NEAR_S,
    RATES,
    TACHYCARDIA,
    AlarmSpan,
    delay_s,
    overlaps,
    spans_of,
)
from models.measure.result_json import INLINE
from pipeline.alarms.rate_rules import FAST_BEATS, SLOW_BEATS
from pipeline.alarms.settings import DEFAULTS
from replay.annotations import read_beats, read_flutter

RATE_TOLERANCE_BPM: Final = 5.0
"""A rate within this is right (ANSI/AAMI EC13: 10 % or 5 bpm, whichever is more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedAlarm:
    """An alarm, and whether the reference confirms it."""

    span: AlarmSpan = field(metadata=INLINE)
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VentricularRun:
    """A run of ventricular beats of the reference, and how late its first alarm came."""

    run: Stretch = field(metadata=INLINE)
    delay_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MitdbRow:
    """The alarms and the ventricular runs of one record."""

    record: str
    alarms: list[CheckedAlarm]
    vt_runs: list[VentricularRun]


@dataclass(frozen=True, slots=True, kw_only=True)
class MitdbResult:
    """True and false lethal alarms of the MIT-BIH records."""

    records: int
    hours: float
    lethal_alarms: int
    false_lethal_alarms: int
    false_lethal_alarms_per_24_h: float
    false_of_kind: dict[str, int]
    rate_alarms: int
    false_rate_alarms: int
    vt_runs: int
    vt_runs_found: int
    rows: list[MitdbRow]
    """Of the records that have an alarm or a run."""


def evaluate_mitdb(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None]
) -> MitdbResult:
    """Return the true and false lethal alarms of the MIT-BIH records, first signal.

    Raises:
        InputError: a record is missing or unusable.
    """
    rows = []
    hours = 0.0
    for name in records:
        on_step(f"mitdb {name}")
        detected = detect_alarms(folder / name, 0)
        hours += detected.seconds / 3600.0
        spans = spans_of(detected.alerts, (*LETHAL_RHYTHMS, *RATES), detected.seconds)
        rows.append(_checked(folder / name, spans, detected.fs_hz))
    alarms = [alarm for row in rows for alarm in row.alarms]
    lethal = [alarm for alarm in alarms if alarm.span.kind in LETHAL_RHYTHMS]
    rates = [alarm for alarm in alarms if alarm.span.kind in RATES]
    runs = [run for row in rows for run in row.vt_runs]
    false = Counter(alarm.span.kind for alarm in lethal if not alarm.right)
    return MitdbResult(
        records=len(records),
        hours=round(hours, 2),
        lethal_alarms=len(lethal),
        false_lethal_alarms=false.total(),
        false_lethal_alarms_per_24_h=round(24.0 * false.total() / hours, 1),
        false_of_kind=dict(false),
        rate_alarms=len(rates),
        false_rate_alarms=sum(not alarm.right for alarm in rates),
        vt_runs=len(runs),
        vt_runs_found=sum(run.delay_s is not None for run in runs),
        rows=[row for row in rows if row.alarms or row.vt_runs],
    )


def _checked(record: Path, spans: Sequence[AlarmSpan], fs_hz: float) -> MitdbRow:
    """Check the alarms of a record against the beats and the flutter of its reference."""
    beats, symbols = read_beats(record, lead=0)
    at_s = beats / fs_hz
    runs = ventricular_runs(at_s, symbols)
    flutter = [Stretch("VFL", a / fs_hz, b / fs_hz) for a, b in read_flutter(record, lead=0)]
    reference = {
        "asystole": _silences(at_s),
        TACHYCARDIA: [*runs, *flutter],
        FIBRILLATION: [*runs, *flutter],
        "extreme_bradycardia": _rates(at_s, SLOW_BEATS, -1, DEFAULTS.extreme_bradycardia_bpm),
        "extreme_tachycardia": [
            *_rates(at_s, FAST_BEATS, 1, DEFAULTS.extreme_tachycardia_bpm),
            *flutter,
        ],
    }
    helpful = [span for span in spans if span.kind in (TACHYCARDIA, FIBRILLATION)]
    return MitdbRow(
        record=record.name,
        alarms=[
            CheckedAlarm(
                span=span, right=any(overlaps(span, s, NEAR_S) for s in reference[span.kind])
            )
            for span in spans
        ],
        vt_runs=[VentricularRun(run=run, delay_s=delay_s(helpful, run)) for run in runs],
    )


def ventricular_runs(at_s: NDArray[np.float64], symbols: Sequence[str]) -> list[Stretch]:
    """Return the runs of five or more ventricular beats (V, E) at 100 bpm or more of a reference.

    ``at_s`` float64[n] are the times of all its beats.
    """
    runs = []
    first = None
    for i, symbol in enumerate([*symbols, "N"]):
        if symbol in ("V", "E"):
            first = i if first is None else first
        elif first is not None:
            beats, seconds = i - first, at_s[i - 1] - at_s[first]
            enough = beats >= DEFAULTS.tachycardia_beats
            if enough and 60.0 * (beats - 1) >= DEFAULTS.tachycardia_bpm * seconds:
                runs.append(Stretch("VT", float(at_s[first]), float(at_s[i - 1])))
            first = None
    return runs


def _silences(at_s: NDArray[np.float64]) -> list[Stretch]:
    long = np.flatnonzero(np.diff(at_s) >= DEFAULTS.asystole_s)
    return [Stretch("pause", float(at_s[i]), float(at_s[i + 1])) for i in long]


def _rates(at_s: NDArray[np.float64], beats: int, side: int, limit_bpm: float) -> list[Stretch]:
    """Return where the reference's rate over so many beats is beyond a limit, or nearly so."""
    bpm = 60.0 * (beats - 1) / (at_s[beats - 1 :] - at_s[: 1 - beats])
    beyond = np.flatnonzero(side * (bpm - limit_bpm) > -RATE_TOLERANCE_BPM)
    return [Stretch("rate", float(at_s[i]), float(at_s[i + beats - 1])) for i in beyond]
