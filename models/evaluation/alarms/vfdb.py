"""Lethal alarms against the episodes of vfdb, which names a rhythm from one note to the next."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.data.rhythms import FIBRILLATION_NOTES, Stretch, read_rhythms
from models.evaluation.alarms.detection import detect_alarms
from models.evaluation.alarms.spans import (
    FIBRILLATION,
    LETHAL_RHYTHMS,
    NEAR_S,
    TACHYCARDIA,
    Agreement,
    AlarmSpan,
    agree,
    overlaps,
    spans_of,
)

FAMILIES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], float]]] = {
    "vf": (FIBRILLATION_NOTES, (FIBRILLATION,), (FIBRILLATION, TACHYCARDIA), 5.0),
    "vt": (("VT",), (TACHYCARDIA,), (FIBRILLATION, TACHYCARDIA), 3.0),
    "asystole": (("ASYS",), ("asystole",), ("asystole", FIBRILLATION), 5.0),
}
"""By rhythm: notes of vfdb, our own alarm, all alarms that call for the same help, and the seconds
that the rule needs. Shorter episodes are counted separately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyResult:
    """How our alarms agree with the episodes of one family of rhythms."""

    own_alarm: Agreement
    any_alarm: Agreement
    """Of any alarm that calls for the same help."""
    least_s: float
    """Shorter episodes are not in either."""
    shorter_episodes: int
    shorter_episodes_found: int
    """By any alarm that calls for the same help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VfdbRow:
    """The lethal episodes and alarms of one record."""

    record: str
    reference: list[Stretch]
    alarms: list[AlarmSpan]
    seconds: None = None
    """Always null; programs that read the JSON may expect the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VfdbResult:
    """How the lethal alarms agree with the episodes of vfdb."""

    records: int
    hours: float
    vf: FamilyResult
    vt: FamilyResult
    asystole: FamilyResult
    false_lethal_alarms: int
    """Near no lethal episode."""
    false_lethal_alarms_in_noise: int
    """Those of them where the reference says noise."""
    false_lethal_alarms_per_hour: float
    rows: list[VfdbRow]


Episodes = Sequence[tuple[list[AlarmSpan], list[Stretch]]]
"""The lethal alarms and the rhythms of each record."""


def evaluate_vfdb(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None]
) -> VfdbResult:
    """Return how the lethal alarms agree with the episodes of vfdb, first signal.

    Raises:
        InputError: a record is missing or unusable.
    """
    episodes: list[tuple[list[AlarmSpan], list[Stretch]]] = []
    hours = 0.0
    for name in records:
        on_step(f"vfdb {name}")
        detected = detect_alarms(folder / name, 0)
        hours += detected.seconds / 3600.0
        spans = spans_of(detected.alerts, LETHAL_RHYTHMS, detected.seconds)
        episodes.append((spans, read_rhythms(folder / name, detected.seconds)))
    false = [
        (span, any(overlaps(span, s) for s in named if s.name == "NOISE"))
        for spans, named in episodes
        for span in spans
        if not _near_lethal(span, named)
    ]
    return VfdbResult(
        records=len(records),
        hours=round(hours, 2),
        vf=_family(episodes, "vf"),
        vt=_family(episodes, "vt"),
        asystole=_family(episodes, "asystole"),
        false_lethal_alarms=len(false),
        false_lethal_alarms_in_noise=sum(in_noise for _, in_noise in false),
        false_lethal_alarms_per_hour=round(len(false) / hours, 2),
        rows=[
            VfdbRow(record=name, reference=[s for s in named if _is_lethal(s)], alarms=spans)
            for name, (spans, named) in zip(records, episodes, strict=True)
        ],
    )


def _is_lethal(stretch: Stretch) -> bool:
    return any(stretch.name in names for names, *_ in FAMILIES.values())


def _near_lethal(span: AlarmSpan, named: Iterable[Stretch]) -> bool:
    return any(overlaps(span, stretch, NEAR_S) for stretch in named if _is_lethal(stretch))


def _family(episodes: Episodes, family: str) -> FamilyResult:
    names, own, helpful, least_s = FAMILIES[family]

    def agreement(kinds: Sequence[str], *, short: bool = False) -> Agreement:
        return agree(
            (
                [span for span in spans if span.kind in kinds],
                [s for s in named if s.name in names and (s.end_s - s.begin_s < least_s) == short],
            )
            for spans, named in episodes
        )

    shorter = agreement(helpful, short=True)
    return FamilyResult(
        own_alarm=agreement(own),
        any_alarm=agreement(helpful),
        least_s=least_s,
        shorter_episodes=shorter.episodes,
        shorter_episodes_found=shorter.found,
    )
