"""Lethal rhythms with a reference: episodes of vfdb, and the true and false alarms of mitdb.

vfdb names rhythms from one note to the next; mitdb names beats, and ventricular flutter by marks.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.data.rhythms import FIBRILLATION_NOTES, Stretch, read_rhythms
from models.evaluation.alarms.detection import detect_alarms
from models.evaluation.alarms.spans import (
    NEAR_S,
    AlarmSpan,
    agree,
    delay_s,
    overlaps,
    spans_of,
)
from pipeline.alarms.rate_rules import FAST_BEATS, SLOW_BEATS
from pipeline.alarms.settings import DEFAULTS
from replay.annotations import read_beats, read_flutter

FIBRILLATION, TACHYCARDIA = "ventricular_fibrillation", "ventricular_tachycardia"
LETHAL_RHYTHMS: Final = ("asystole", FIBRILLATION, TACHYCARDIA)
RATES: Final = ("extreme_bradycardia", "extreme_tachycardia")

FAMILIES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], float]]] = {
    "vf": (FIBRILLATION_NOTES, (FIBRILLATION,), (FIBRILLATION, TACHYCARDIA), 5.0),
    "vt": (("VT",), (TACHYCARDIA,), (FIBRILLATION, TACHYCARDIA), 3.0),
    "asystole": (("ASYS",), ("asystole",), ("asystole", FIBRILLATION), 5.0),
}
"""Of each family: notes of vfdb, our alarm, the alarms that bring somebody all the same, and the
seconds that a rule needs: shorter episodes are counted apart."""

RATE_TOLERANCE_BPM: Final = 5.0
"""A rate is told right within this (ANSI/AAMI EC13: 10 % or 5 bpm, whichever is more)."""


def evaluate_vfdb(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Return how the lethal alarms agree with the episodes of vfdb, first signal.

    Raises:
        InputError: a record is missing or unusable.
    """
    heard: list[tuple[list[AlarmSpan], list[Stretch]]] = []
    hours = 0.0
    for name in records:
        on_step(f"vfdb {name}")
        told = detect_alarms(folder / name, 0)
        hours += told.seconds / 3600.0
        spans = spans_of(told.alerts, LETHAL_RHYTHMS, told.seconds)
        heard.append((spans, read_rhythms(folder / name, told.seconds)))
    false = [span for spans, named in heard for span in spans if not _about(span, named)]
    noisy = sum(
        any(overlaps(span, s) for s in named if s.name == "NOISE")
        for spans, named in heard
        for span in spans
        if span in false
    )
    return {
        "records": len(records),
        "hours": round(hours, 2),
        **{family: _family(heard, family) for family in FAMILIES},
        "false_lethal_alarms": len(false),
        "false_lethal_alarms_in_noise": noisy,
        "false_lethal_alarms_per_hour": round(len(false) / hours, 2),
        "rows": [
            {
                "record": name,
                "reference": [s._asdict() for s in named if _lethal(s)],
                "alarms": [span._asdict() for span in spans],
                "seconds": None,
            }
            for name, (spans, named) in zip(records, heard, strict=True)
        ],
    }


def _lethal(stretch: Stretch) -> bool:
    return any(stretch.name in names for names, *_ in FAMILIES.values())


def _about(span: AlarmSpan, named: Iterable[Stretch]) -> bool:
    return any(overlaps(span, stretch, NEAR_S) for stretch in named if _lethal(stretch))


def _family(heard: Sequence[tuple[list[AlarmSpan], list[Stretch]]], family: str) -> dict[str, Any]:
    names, own, helpful, least_s = FAMILIES[family]

    def of(kinds: Sequence[str], *, short: bool = False) -> dict[str, Any]:
        return agree(
            (
                [span for span in spans if span.kind in kinds],
                [s for s in named if s.name in names and (s.end_s - s.begin_s < least_s) == short],
            )
            for spans, named in heard
        ).figures()

    too_short = of(helpful, short=True)
    return {
        "own_alarm": of(own),
        "any_alarm": of(helpful),
        "least_s": least_s,
        "shorter_episodes": too_short["episodes"],
        "shorter_episodes_found": too_short["found"],
    }


def evaluate_mitdb(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Return the true and false lethal alarms of the MIT-BIH records, first signal.

    Raises:
        InputError: a record is missing or unusable.
    """
    rows = []
    hours = 0.0
    for name in records:
        on_step(f"mitdb {name}")
        told = detect_alarms(folder / name, 0)
        hours += told.seconds / 3600.0
        spans = spans_of(told.alerts, (*LETHAL_RHYTHMS, *RATES), told.seconds)
        rows.append(_judged(folder / name, spans, told.fs_hz))
    rhythm = [one for row in rows for one in row["alarms"] if one["kind"] in LETHAL_RHYTHMS]
    rates = [one for row in rows for one in row["alarms"] if one["kind"] in RATES]
    runs = [run for row in rows for run in row["vt_runs"]]
    false = Counter(one["kind"] for one in rhythm if not one["right"])
    return {
        "records": len(records),
        "hours": round(hours, 2),
        "lethal_alarms": len(rhythm),
        "false_lethal_alarms": false.total(),
        "false_lethal_alarms_per_24_h": round(24.0 * false.total() / hours, 1),
        "false_of_kind": dict(false),
        "rate_alarms": len(rates),
        "false_rate_alarms": sum(not one["right"] for one in rates),
        "vt_runs": len(runs),
        "vt_runs_found": sum(run["delay_s"] is not None for run in runs),
        "rows": [row for row in rows if row["alarms"] or row["vt_runs"]],
    }


def _judged(record: Path, spans: Sequence[AlarmSpan], fs_hz: float) -> dict[str, Any]:
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
    return {
        "record": record.name,
        "alarms": [
            {
                **span._asdict(),
                "right": any(overlaps(span, s, NEAR_S) for s in reference[span.kind]),
            }
            for span in spans
        ],
        "vt_runs": [{**run._asdict(), "delay_s": delay_s(helpful, run)} for run in runs],
    }


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


def evaluate_noise(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Return the lethal alarms in noise: with a healthy heart in it (118), and with none.

    Where there is no heart, asystole and a slow rate are right: only what claims one is wrong.

    Raises:
        InputError: a record is missing or unusable.
    """
    rows: list[dict[str, Any]] = []
    for name in records:
        on_step(f"nstdb {name}")
        told = detect_alarms(folder / name, 0)
        with_heart = name.startswith("118")
        wrong = (*LETHAL_RHYTHMS, *RATES) if with_heart else (FIBRILLATION, TACHYCARDIA, RATES[1])
        spans = spans_of(told.alerts, wrong, told.seconds)
        rows.append(
            {
                "record": name,
                "with_heart": with_heart,
                "seconds": round(told.seconds, 1),
                "false_alarms": [span._asdict() for span in spans],
            }
        )

    def false(*, with_heart: bool) -> dict[str, int]:
        chosen = (row for row in rows if row["with_heart"] == with_heart)
        return dict(Counter(a["kind"] for row in chosen for a in row["false_alarms"]))

    return {
        "records": len(rows),
        "hours": round(sum(row["seconds"] for row in rows) / 3600.0, 2),
        "false_lethal_alarms_with_a_heart": false(with_heart=True),
        "false_lethal_alarms_without": false(with_heart=False),
        "rows": rows,
    }
