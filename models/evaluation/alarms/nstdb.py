"""Lethal alarms in noise, with a healthy heart in it and with none."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.evaluation.alarms.detection import detect_alarms
from models.evaluation.alarms.spans import (
    FIBRILLATION,
    LETHAL_RHYTHMS,
    RATES,
    TACHYCARDIA,
    AlarmSpan,
    spans_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseRow:
    """The false lethal alarms of one record."""

    record: str
    with_heart: bool
    seconds: float
    false_alarms: list[AlarmSpan]


@dataclass(frozen=True, slots=True, kw_only=True)
class NstdbResult:
    """False lethal alarms in noise, by kind."""

    records: int
    hours: float
    false_lethal_alarms_with_a_heart: dict[str, int]
    false_lethal_alarms_without: dict[str, int]
    rows: list[NoiseRow]


def evaluate_nstdb(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None]
) -> NstdbResult:
    """Return the lethal alarms in noise: with a healthy heart in it (118), and with none.

    Without a heart, asystole and a slow rate are right: only an alarm that claims beats is wrong.

    Raises:
        InputError: a record is missing or unusable.
    """
    rows = []
    for name in records:
        on_step(f"nstdb {name}")
        detected = detect_alarms(folder / name, 0)
        with_heart = name.startswith("118")
        wrong = (*LETHAL_RHYTHMS, *RATES) if with_heart else (FIBRILLATION, TACHYCARDIA, RATES[1])
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

    return NstdbResult(
        records=len(rows),
        hours=round(sum(row.seconds for row in rows) / 3600.0, 2),
        false_lethal_alarms_with_a_heart=false(with_heart=True),
        false_lethal_alarms_without=false(with_heart=False),
        rows=rows,
    )
