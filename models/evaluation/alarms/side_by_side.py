"""How often a lethal alarm is false with one lead and with all of a patient. Pure: reads nothing.

What each database calls false is its own: see its module. In the challenge these are the alarms
that were raised though the one at 5:00 was false, of its kind; no rate belongs to them, for nothing
says which alarms before 5:00 are right. Where records have one lead, both counts are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from models.evaluation.alarms.annotated import AnnotatedResult
from models.evaluation.alarms.challenge2015 import KINDS, ChallengeResult
from models.evaluation.alarms.cinc17 import WearerResult
from models.evaluation.alarms.episodes import EpisodeResult
from models.evaluation.alarms.nstdb import NoiseResult
from models.evaluation.alarms.spans import TACHYCARDIA
from models.evaluation.alarms.wrong import WrongCall

TOGETHER: Final = "together"
"""Stands for all databases."""


class Measured(Protocol):
    """The figures of a database: a dataclass of its own."""

    @property
    def wrong(self) -> Sequence[WrongCall]:
        """What was called wrongly, each by name and with its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseCount:
    """The false lethal alarms of a database."""

    alarms: int
    asystole: int
    ventricular_tachycardia: int
    """Those of them of the two kinds."""
    in_24_h: float | None
    """None where no rate belongs to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseOfLeads:
    """The false lethal alarms of a database, with one lead and with all."""

    one_lead: FalseCount
    all_leads: FalseCount
    hours: float | None
    """Of signal in which alarms are counted; None where no rate belongs to them."""


class _Counted:
    """False alarms by kind, in hours of signal."""

    def __init__(self, of_kind: Mapping[str, int], hours: float | None) -> None:
        self.of_kind, self.hours = of_kind, hours

    def count(self) -> FalseCount:
        alarms = sum(self.of_kind.values())
        return FalseCount(
            alarms=alarms,
            asystole=self.of_kind.get("asystole", 0),
            ventricular_tachycardia=self.of_kind.get(TACHYCARDIA, 0),
            in_24_h=round(24.0 * alarms / self.hours, 2) if self.hours else None,
        )


def false_side_by_side(
    one_lead: Mapping[str, Measured], all_leads: Mapping[str, Measured]
) -> dict[str, FalseOfLeads]:
    """Return the false lethal alarms of every database that counts them, and of all together.

    Args:
        one_lead: figures by database.
        all_leads: the same of those databases whose records have several leads.
    """
    pairs = {
        name: (one, _counted(all_leads[name]) if name in all_leads else one)
        for name, measured in one_lead.items()
        if (one := _counted(measured)) is not None
    }
    rows = {
        name: FalseOfLeads(one_lead=one.count(), all_leads=every.count(), hours=one.hours)
        for name, (one, every) in pairs.items()
        if every is not None
    }
    if len(rows) > 1:
        hours = sum(row.hours or 0.0 for row in rows.values())
        rows[TOGETHER] = FalseOfLeads(
            one_lead=_sum([row.one_lead for row in rows.values()], hours),
            all_leads=_sum([row.all_leads for row in rows.values()], hours),
            hours=round(hours, 2) if hours else None,
        )
    return rows


def _sum(counts: Sequence[FalseCount], hours: float) -> FalseCount:
    rated = sum(one.alarms for one in counts if one.in_24_h is not None)
    return FalseCount(
        alarms=sum(one.alarms for one in counts),
        asystole=sum(one.asystole for one in counts),
        ventricular_tachycardia=sum(one.ventricular_tachycardia for one in counts),
        in_24_h=round(24.0 * rated / hours, 2) if hours else None,
    )


def _counted(one: Measured) -> _Counted | None:
    """Return the false lethal alarms of a database; None if it is about others."""
    match one:
        case ChallengeResult():
            of_kind = one.first_lead.of_kind
            return _Counted({KINDS[kind][0]: cells.fp for kind, cells in of_kind.items()}, None)
        case EpisodeResult():
            return _Counted(one.false_of_kind, one.hours)
        case AnnotatedResult() | WearerResult():
            return _Counted(one.false_lethal.of_kind, one.hours)
        case NoiseResult():
            beside = one.false_lethal_alarms_with_a_heart, one.false_lethal_alarms_without
            kinds = {kind for counts in beside for kind in counts}
            summed = {kind: sum(counts.get(kind, 0) for counts in beside) for kind in kinds}
            return _Counted(summed, one.hours)
    return None
