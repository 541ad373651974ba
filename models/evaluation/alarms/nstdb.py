"""Lethal alarms and QRS complexes in noise, with a healthy heart in it and with none."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.evaluation.alarms.detection import detect
from models.evaluation.alarms.qrs import QrsOfRecord, compare_qrs
from models.evaluation.alarms.spans import (
    FIBRILLATION,
    LETHAL,
    RATES,
    TACHYCARDIA,
    AlarmSpan,
    spans_of,
)
from models.evaluation.alarms.wrong import WrongCall, wrong_alarm
from replay.lead_sets.asked import AskedLeads

WITH_HEART: Final = ("118e_6", "118e00")
"""Record 118 with noise at -6 and 0 dB."""

WITHOUT: Final = ("bw", "em", "ma")
"""Noise alone: baseline wander, electrode motion, muscle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseRow:
    """The false lethal alarms of one record."""

    record: str
    with_heart: bool
    seconds: float
    false_alarms: list[AlarmSpan]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseResult:
    """False lethal alarms in noise, by kind, and the QRS complexes found in it."""

    records: int
    hours: float
    false_lethal_alarms_with_a_heart: dict[str, int]
    false_lethal_alarms_without: dict[str, int]
    qrs: list[QrsOfRecord]
    wrong: list[WrongCall]
    rows: list[NoiseRow]


def evaluate_nstdb(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None], leads: AskedLeads = 0
) -> NoiseResult:
    """Return the lethal alarms in noise: with a healthy heart in it (118), and with none.

    ``leads`` are those to watch, by default the first signal.
    Without a heart, asystole and a slow rate are right: only an alarm that claims beats is wrong.

    Raises:
        InputError: a record is missing or unusable.
    """
    rows, qrs = [], []
    for name in records:
        on_step(f"nstdb {name}")
        detected = detect(folder / name, leads)
        with_heart = name in WITH_HEART
        if with_heart:
            samples = round(detected.seconds * detected.fs_hz)
            qrs.append(compare_qrs(folder / name, detected.beats, detected.fs_hz, samples))
        wrong = LETHAL if with_heart else (FIBRILLATION, TACHYCARDIA, RATES[1])
        rows.append(
            NoiseRow(
                record=name,
                with_heart=with_heart,
                seconds=round(detected.seconds, 1),
                false_alarms=spans_of(detected.alerts, wrong, detected.seconds),
            )
        )

    def false(*, with_heart: bool) -> dict[str, int]:
        chosen = (row for row in rows if row.with_heart == with_heart)
        return dict(Counter(span.kind for row in chosen for span in row.false_alarms))

    return NoiseResult(
        records=len(rows),
        hours=round(sum(row.seconds for row in rows) / 3600.0, 2),
        false_lethal_alarms_with_a_heart=false(with_heart=True),
        false_lethal_alarms_without=false(with_heart=False),
        qrs=qrs,
        wrong=[
            wrong_alarm(f"nstdb/{row.record}", span) for row in rows for span in row.false_alarms
        ],
        rows=rows,
    )
