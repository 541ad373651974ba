"""Lethal alarms against named episodes: vfdb, whose notes name rhythms, and CUDB, read by eye."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from models.data.readings import read_readings
from models.data.rhythms import FIBRILLATION_NOTES, Stretch, read_rhythms
from models.evaluation.alarms.bootstrap import Estimate, estimate
from models.evaluation.alarms.detection import Detected, detect
from models.evaluation.alarms.spans import (
    FIBRILLATION,
    LETHAL,
    LETHAL_RHYTHMS,
    NEAR_S,
    RATES,
    TACHYCARDIA,
    Agreement,
    AlarmSpan,
    agree,
    delay_s,
    overlaps,
    spans_of,
)
from models.evaluation.alarms.wrong import WrongCall, missed_or_late, nearest, wrong_alarm
from models.training.rhythms.fibrillation import training_records
from replay.lead_sets.asked import AskedLeads


class Rhythm(NamedTuple):
    """A lethal rhythm, and what has to be raised in it."""

    notes: tuple[str, ...]
    """Names of its episodes."""
    own: tuple[str, ...]
    """Our alarm of the same name."""
    least_s: float
    """Its rule needs so long; shorter episodes are counted apart."""


RHYTHMS: Final = {
    "vf": Rhythm(FIBRILLATION_NOTES, (FIBRILLATION,), 5.0),
    "vt": Rhythm(("VT",), (TACHYCARDIA,), 3.0),
    "asystole": Rhythm(("ASYS",), ("asystole",), 5.0),
}

NOISE: Final = "NOISE"
UNCLEAR: Final = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class RhythmResult:
    """How our alarms agree with the episodes of one rhythm."""

    own_alarm: Agreement
    any_alarm: Agreement
    """Of any lethal alarm, extreme rates too: each brings somebody."""
    least_s: float
    """Shorter episodes are not in either."""
    shorter_episodes: int
    shorter_episodes_found: int
    """By any lethal alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRow:
    """The lethal episodes and alarms of one record."""

    record: str
    seconds: float
    reference: list[Stretch]
    alarms: list[AlarmSpan]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeResult:
    """How the lethal alarms agree with the episodes of a database."""

    records: int
    hours: float
    rhythms: dict[str, RhythmResult]
    unseen_records: list[str]
    """Those on which no weights were fitted; empty where the database had no part in a fit."""
    unseen: dict[str, Agreement]
    """Any lethal alarm in these records, by rhythm."""
    false_lethal_alarms: int
    """Alarms that claim a lethal rhythm, near no lethal episode and near none that is unclear."""
    false_of_kind: dict[str, int]
    false_lethal_alarms_in_noise: int
    """Those of them where the reference says noise."""
    false_lethal_alarms_per_hour: Estimate
    rate_alarms_elsewhere: int
    """Alarms of an extreme rate near no such episode; the reference has no beats to judge them."""
    wrong: list[WrongCall]
    rows: list[EpisodeRow]


class EpisodeRecord(NamedTuple):
    """One record: our side and the reference."""

    name: str
    detected: Detected
    spans: list[AlarmSpan]
    """All lethal alarms."""
    named: list[Stretch]

    @classmethod
    def of(cls, name: str, detected: Detected, named: list[Stretch]) -> "EpisodeRecord":
        """Return what was detected beside what the reference names."""
        return cls(name, detected, spans_of(detected.alerts, LETHAL, detected.seconds), named)

    @property
    def false(self) -> list[AlarmSpan]:
        """Return the lethal alarms that belong to no lethal and to no unclear episode."""
        near = [s for s in self.named if _is_lethal(s) or s.name == UNCLEAR]
        return [span for span in self.spans if not any(overlaps(span, s, NEAR_S) for s in near)]


def evaluate_vfdb(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None], leads: AskedLeads = 0
) -> EpisodeResult:
    """Return how the lethal alarms agree with the episodes of vfdb, by default of the first signal.

    Raises:
        InputError: a record is missing or unusable.
    """
    measured = []
    for name in records:
        on_step(f"vfdb {name}")
        detected = detect(folder / name, leads)
        named = read_rhythms(folder / name, detected.seconds)
        measured.append(EpisodeRecord.of(name, detected, named))
    return sum_episodes("vfdb", measured, RHYTHMS, "false", fitted=training_records()["vfdb"])


def evaluate_cu(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None], leads: AskedLeads = 0
) -> EpisodeResult:
    """Return how the lethal alarms agree with the readings of CUDB, by default of the first signal.

    Only fibrillation and flutter were read: an alarm elsewhere may be right about a tachycardia.

    Raises:
        InputError: a record is missing or unusable, or there are no readings.
    """
    measured = []
    for one in read_readings(folder):
        if one.record in records:
            on_step(f"cu {one.record}")
            named = [*one.fibrillation, *one.unclear]
            detected = detect(folder / one.record, leads)
            measured.append(EpisodeRecord.of(one.record, detected, named))
    return sum_episodes("cu", measured, {"vf": RHYTHMS["vf"]}, "unconfirmed")


def sum_episodes(
    database: str,
    measured: Sequence[EpisodeRecord],
    rhythms: dict[str, Rhythm],
    verdict: str,
    *,
    fitted: Collection[str] = (),
) -> EpisodeResult:
    """Return the figures.

    Args:
        database: its name.
        measured: its records.
        rhythms: those that its reference names.
        verdict: the word for an alarm that no episode confirms.
        fitted: the records on which a rule was fitted.
    """
    unseen = [one for one in measured if fitted and one.name not in fitted]
    false = [[span for span in one.false if span.kind in LETHAL_RHYTHMS] for one in measured]
    noise = [[s for s in one.named if s.name == NOISE] for one in measured]
    hours = [one.detected.hours for one in measured]
    return EpisodeResult(
        records=len(measured),
        hours=round(sum(hours), 2),
        rhythms={name: _agreement(measured, rhythm) for name, rhythm in rhythms.items()},
        unseen_records=[one.name for one in unseen],
        unseen={
            name: _agreement(unseen, rhythm).any_alarm for name, rhythm in rhythms.items() if unseen
        },
        false_lethal_alarms=sum(map(len, false)),
        false_of_kind=dict(Counter(span.kind for spans in false for span in spans)),
        false_lethal_alarms_in_noise=sum(
            any(overlaps(span, s) for s in noisy)
            for spans, noisy in zip(false, noise, strict=True)
            for span in spans
        ),
        false_lethal_alarms_per_hour=estimate(
            [(len(spans), h) for spans, h in zip(false, hours, strict=True)],
            lambda sums: sums[:, 0] / sums[:, 1],
            2,
        ),
        rate_alarms_elsewhere=sum(span.kind in RATES for one in measured for span in one.false),
        wrong=[call for one in measured for call in _wrong_calls(database, one, rhythms, verdict)],
        rows=[
            EpisodeRow(
                record=one.name,
                seconds=round(one.detected.seconds, 1),
                reference=[s for s in one.named if _is_lethal(s) or s.name == UNCLEAR],
                alarms=one.spans,
            )
            for one in measured
        ],
    )


def _is_lethal(stretch: Stretch) -> bool:
    return any(stretch.name in rhythm.notes for rhythm in RHYTHMS.values())


def _lasts(stretch: Stretch, least_s: float) -> bool:
    return stretch.end_s - stretch.begin_s >= least_s


def _agreement(measured: Sequence[EpisodeRecord], rhythm: Rhythm) -> RhythmResult:
    def agreement(kinds: Sequence[str], *, short: bool = False) -> Agreement:
        return agree(
            (
                [span for span in one.spans if span.kind in kinds],
                [
                    s
                    for s in one.named
                    if s.name in rhythm.notes and _lasts(s, rhythm.least_s) != short
                ],
            )
            for one in measured
        )

    shorter = agreement(LETHAL, short=True)
    return RhythmResult(
        own_alarm=agreement(rhythm.own),
        any_alarm=agreement(LETHAL),
        least_s=rhythm.least_s,
        shorter_episodes=shorter.episodes,
        shorter_episodes_found=shorter.found,
    )


def _wrong_calls(
    database: str, one: EpisodeRecord, rhythms: dict[str, Rhythm], verdict: str
) -> list[WrongCall]:
    """Return what no lethal alarm named within ten seconds, and the alarms about nothing."""
    record = f"{database}/{one.name}"
    missed = [
        WrongCall(
            record=record,
            at_s=round(stretch.begin_s, 2),
            wrong=f"{too_late} {stretch.name}, {stretch.end_s - stretch.begin_s:.1f} s",
            ours=nearest(one.detected, stretch.begin_s, stretch.end_s),
        )
        for rhythm in rhythms.values()
        for stretch in one.named
        if stretch.name in rhythm.notes
        and _lasts(stretch, rhythm.least_s)
        and (too_late := missed_or_late(delay_s(one.spans, stretch)))
    ]
    false = [
        wrong_alarm(record, span, verdict) for span in one.false if span.kind in LETHAL_RHYTHMS
    ]
    return sorted([*missed, *false], key=lambda call: call.at_s)
