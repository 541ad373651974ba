"""False alarms in intensive care: the PhysioNet/CinC Challenge 2015, on ECG alone.

In every record a bedside monitor alarmed at 5:00; ``ALARMS`` names the kind, and whether the alarm
was true. It is called true here if our own alarm of that kind is on within the ten seconds before
5:00, with `OWN_DELAY_S` for a beat that is known only once its window is complete. Score:
100 (TP + TN) / (TP + TN + FP + 5 FN) (Clifford et al., CinC 2015). The figure is that of the lead
that a replay chooses, or of the leads that are asked for, watched together. Beside the one lead
stand the figures of the other ECG lead, and of either: an alarm of any of two monitors, of which
each watches one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.challenge2015 import ALARM_AT_S, ALARM_KINDS, Case, read_cases
from models.evaluation.alarms.bootstrap import Estimate, estimate
from models.evaluation.alarms.detection import Detected, detect
from models.evaluation.alarms.spans import WITHIN_S, AlarmSpan, spans_of
from models.evaluation.alarms.wrong import WrongCall, in_words, nearest, words
from replay.headers import header_path, load_header
from replay.lead_sets.asked import AskedLeads, names_of
from replay.leads import choose_lead, ecg_leads

OWN_DELAY_S: Final = 1.0
"""Half a second behind R is part of a window, and the front end has some delay of its own."""

_NEAREST_FROM_S: Final = ALARM_AT_S - 20.0
"""The rhythm may have begun before the ten seconds in which our alarm counts."""

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
    """Its name; several with commas."""
    fired: bool
    """Whether our alarm of that kind was on in the first lead, or in the leads asked for."""
    alarm: str
    """Our alarm in words, or what was nearest to one."""
    fired_in_second_lead: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """True and false alarms that were raised (P) and were not (N), and their score."""

    tp: int
    fn: int
    fp: int
    tn: int
    score: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeScore:
    """All records, and those of each kind."""

    all: Confusion
    of_kind: dict[str, Confusion]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeResult:
    """The figures of the challenge."""

    records: int
    first_lead: ChallengeScore
    """Of the lead that is usual for rhythm, or of the leads that were asked for."""
    second_lead: ChallengeScore | None
    either_lead: ChallengeScore | None
    """None where leads were asked for."""
    own_delay_s: float
    wrong: list[WrongCall]
    """By the alarms of ``first_lead``."""
    rows: list[ChallengeRow]


def evaluate_challenge(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None], leads: AskedLeads = None
) -> ChallengeResult:
    """Return the figures of the challenge and a row for every record of ``records``.

    Without ``leads`` the lead that is usual for rhythm is watched, and the other ECG lead alone.

    Raises:
        InputError: a record is missing or unusable.
    """
    rows = []
    for case in read_cases(folder):
        if case.record in records:
            on_step(f"challenge2015 {case.record}")
            rows.append(_row(folder, case) if leads is None else _asked_row(folder, case, leads))
    return sum_challenge(rows, asked=leads is not None)


def sum_challenge(rows: Sequence[ChallengeRow], *, asked: bool) -> ChallengeResult:
    """Return the figures of records; ``asked``: of leads that were asked for."""
    first_lead = [row.fired for row in rows]
    second_lead = [bool(row.fired_in_second_lead) for row in rows]
    either_lead = [one or other for one, other in zip(first_lead, second_lead, strict=True)]
    return ChallengeResult(
        records=len(rows),
        first_lead=_scored(rows, first_lead),
        second_lead=_scored(rows, second_lead) if not asked else None,
        either_lead=_scored(rows, either_lead) if not asked else None,
        own_delay_s=OWN_DELAY_S,
        wrong=[
            WrongCall(
                record=f"challenge2015/{row.record}",
                at_s=ALARM_AT_S,
                wrong=f"{'missed' if row.true else 'false'} {words(row.kind)} (lead {row.lead})",
                ours=row.alarm,
            )
            for row in rows
            if row.fired != row.true
        ],
        rows=list(rows),
    )


def _row(folder: Path, case: Case) -> ChallengeRow:
    record = folder / case.record
    header = load_header(header_path(record))
    first = choose_lead(header)
    leads = [first, *(lead for lead in ecg_leads(header) if lead != first)]
    detected = [detect(record, lead, ALARM_AT_S + OWN_DELAY_S) for lead in leads[:2]]
    second = _alarm_before(detected[1], case.kind) is not None if len(detected) > 1 else None
    return _row_of(case, header.signals[first].name, detected[0], second)


def _asked_row(folder: Path, case: Case, leads: AskedLeads) -> ChallengeRow:
    record = folder / case.record
    detected = detect(record, leads, ALARM_AT_S + OWN_DELAY_S)
    return _row_of(case, ",".join(names_of(record, leads)), detected, None)


def _row_of(case: Case, lead: str, detected: Detected, second: bool | None) -> ChallengeRow:
    alarm = _alarm_before(detected, case.kind)
    return ChallengeRow(
        record=case.record,
        kind=case.kind,
        true=case.true,
        lead=lead,
        fired=alarm is not None,
        alarm=nearest(detected, _NEAREST_FROM_S, detected.seconds)
        if alarm is None
        else in_words(alarm),
        fired_in_second_lead=second,
    )


def _alarm_before(detected: Detected, kind: str) -> AlarmSpan | None:
    """Return the alarm of the kind that is on before 5:00, or None."""
    for span in spans_of(detected.alerts, KINDS[kind], detected.seconds):
        if span.end_s >= ALARM_AT_S - WITHIN_S:
            return span
    return None


def _scored(rows: Sequence[ChallengeRow], fired: Sequence[bool]) -> ChallengeScore:
    """Return the score of alarms that fired or not, one a row."""
    calls = [(row.kind, row.true, one) for row, one in zip(rows, fired, strict=True)]
    return ChallengeScore(
        all=confusion([(true, one) for _, true, one in calls]),
        of_kind={
            kind: confusion([(true, one) for name, true, one in calls if name == kind])
            for kind in ALARM_KINDS
        },
    )


def confusion(calls: Sequence[tuple[bool, bool]]) -> Confusion:
    """Return counts and score of alarms: whether each was true, and whether ours fired."""
    cells = [
        (int(true and fired), int(true > fired), int(fired > true), int(not true and not fired))
        for true, fired in calls
    ]
    tp, fn, fp, tn = (sum(column) for column in zip(*cells, strict=True)) if cells else (0,) * 4
    return Confusion(tp=tp, fn=fn, fp=fp, tn=tn, score=estimate(cells, _score))


def _score(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    right, weighed = sums @ [1.0, 0.0, 0.0, 1.0], sums @ [1.0, 5.0, 1.0, 1.0]
    return np.divide(100.0 * right, weighed)
