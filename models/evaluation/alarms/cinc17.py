"""Lethal alarms of healthy wearers: the records that the Challenge 2017 labels as normal.

Each of them is false. The records last 9 to 60 s, so most of their signal lies within what a
monitor needs for learning.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.evaluation.alarms.detection import NOT_ANALYSABLE, detect
from models.evaluation.alarms.false_alarms import FalseAlarms, FalseOfRecord, count_false
from models.evaluation.alarms.spans import LETHAL, AlarmSpan, spans_of
from models.evaluation.alarms.wrong import WrongCall, wrong_alarm
from replay.lead_sets.asked import AskedLeads


@dataclass(frozen=True, slots=True, kw_only=True)
class WearerRow:
    """The lethal alarms of one record that has any."""

    record: str
    alarms: list[AlarmSpan]


@dataclass(frozen=True, slots=True, kw_only=True)
class WearerResult:
    """False lethal alarms of healthy wearers."""

    records: int
    hours: float
    false_lethal: FalseAlarms
    beats: int
    beats_not_analysable: int
    wrong: list[WrongCall]
    rows: list[WearerRow]


def evaluate_wearers(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None], leads: AskedLeads = 0
) -> WearerResult:
    """Return the lethal alarms of ``records``, which are named with their label.

    Raises:
        InputError: a record is missing or unusable.
    """
    found: list[tuple[str, FalseOfRecord]] = []
    labels: list[str] = []
    for name in records:
        on_step(f"cinc17 {name}")
        detected = detect(folder / name, leads)
        spans = spans_of(detected.alerts, LETHAL, detected.seconds)
        found.append((name, FalseOfRecord(spans, detected.seconds)))
        labels += detected.beats.labels
    return WearerResult(
        records=len(found),
        hours=round(sum(one.seconds for _, one in found) / 3600.0, 2),
        false_lethal=count_false([one for _, one in found]),
        beats=len(labels),
        beats_not_analysable=labels.count(NOT_ANALYSABLE),
        wrong=[wrong_alarm(f"cinc17/{name}", span) for name, one in found for span in one.spans],
        rows=[WearerRow(record=name, alarms=list(one.spans)) for name, one in found if one.spans],
    )
