"""False alarms in intensive care: the PhysioNet/CinC Challenge 2015, on ECG alone.

In every record a bedside monitor alarmed at 5:00; ``ALARMS`` names the kind, and whether the alarm
was true. It is called true here if our own alarm of that kind is on within the ten seconds before
5:00, with `OWN_DELAY_S` for a beat that is known only once its window is complete. Score:
100 (TP + TN) / (TP + TN + FP + 5 FN) (Clifford et al., CinC 2015). The system watches one lead:
the figure is that of the lead that a replay chooses. The figure of the other ECG lead stands beside
it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.data.challenge2015 import ALARM_AT_S, read_cases
from models.evaluation.alarms.detection import detect_alarms
from models.evaluation.alarms.spans import WITHIN_S, AlarmSpan, spans_of
from replay.headers import header_path, load_header
from replay.leads import choose_lead, ecg_leads

OWN_DELAY_S: Final = 1.0
"""Half a second behind R is part of a window, and the front end has some delay of its own."""

KINDS: Final = {
    "Asystole": ("asystole",),
    "Bradycardia": ("extreme_bradycardia",),
    "Tachycardia": ("extreme_tachycardia",),
    "Ventricular_Flutter_Fib": ("ventricular_fibrillation",),
    # A tachycardia whose complexes run into each other is reported as fibrillation or flutter.
    "Ventricular_Tachycardia": ("ventricular_tachycardia", "ventricular_fibrillation"),
}
"""Which of our alarms correspond to each kind of the challenge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeRow:
    """One record."""

    record: str
    kind: str
    true: bool
    lead: str
    fired: bool
    """Whether our alarm of that kind was on in the first lead."""
    alarm: str | None
    """Our alarm, in words."""
    fired_in_second_lead: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeScore:
    """The score over all records, and over those of each kind; None where there are none."""

    score: float | None
    tp: int
    tn: int
    fp: int
    fn: int
    score_of_kind: dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeResult:
    """The figures of the challenge."""

    records: int
    first_lead: ChallengeScore
    second_lead: ChallengeScore
    either_lead: ChallengeScore
    own_delay_s: float
    rows: list[ChallengeRow]


def evaluate_challenge(folder: Path, on_step: Callable[[str], None]) -> ChallengeResult:
    """Return the figures of the challenge and a row for every record.

    Raises:
        InputError: a record is missing or unusable.
    """
    rows = []
    for case in read_cases(folder):
        on_step(f"challenge2015 {case.record}")
        header = load_header(header_path(folder / case.record))
        first = choose_lead(header)
        leads = [first, *(lead for lead in ecg_leads(header) if lead != first)]
        fired = [_alarm_before(folder / case.record, lead, case.kind) for lead in leads[:2]]
        rows.append(
            ChallengeRow(
                record=case.record,
                kind=case.kind,
                true=case.true,
                lead=header.signals[first].name,
                fired=fired[0] is not None,
                alarm=None if fired[0] is None else _in_words(fired[0]),
                fired_in_second_lead=fired[1] is not None if len(fired) > 1 else None,
            )
        )
    first_lead = [row.fired for row in rows]
    second_lead = [bool(row.fired_in_second_lead) for row in rows]
    either_lead = [one or other for one, other in zip(first_lead, second_lead, strict=True)]
    return ChallengeResult(
        records=len(rows),
        first_lead=_scored(rows, first_lead),
        second_lead=_scored(rows, second_lead),
        either_lead=_scored(rows, either_lead),
        own_delay_s=OWN_DELAY_S,
        rows=rows,
    )


def _alarm_before(record: Path, lead: int, kind: str) -> AlarmSpan | None:
    """Return the alarm of the kind that is on before 5:00, or None."""
    detected = detect_alarms(record, lead, ALARM_AT_S + OWN_DELAY_S)
    for span in spans_of(detected.alerts, KINDS[kind], detected.seconds):
        if span.end_s >= ALARM_AT_S - WITHIN_S:
            return span
    return None


def _in_words(span: AlarmSpan) -> str:
    return f"{span.kind.replace('_', ' ')} at {span.sure_s:.1f} s: {span.reason}"


def _scored(rows: Sequence[ChallengeRow], fired: Sequence[bool]) -> ChallengeScore:
    """Return the score of alarms that fired or not, one a row."""
    pairs = list(zip(fired, rows, strict=True))
    count = Counter((one, row.true) for one, row in pairs)
    return ChallengeScore(
        score=_score(count),
        tp=count[True, True],
        tn=count[False, False],
        fp=count[True, False],
        fn=count[False, True],
        score_of_kind={
            kind: _score(Counter((one, row.true) for one, row in pairs if row.kind == kind))
            for kind in KINDS
        },
    )


def _score(count: Counter[tuple[bool, bool]]) -> float | None:
    right = count[True, True] + count[False, False]
    weighed = right + count[True, False] + 5 * count[False, True]
    return round(100.0 * right / weighed, 1) if weighed else None
