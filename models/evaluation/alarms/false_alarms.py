"""How often a lethal alarm is false, in 24 hours of signal.

A monitor learns at the beginning of a record what it knows hours later in a patient who stays. So
the alarms raised after the first ten seconds of each record are counted apart, against the signal
after those ten seconds. Pure.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from models.evaluation.alarms.bootstrap import Estimate, estimate, per_24_hours
from models.evaluation.alarms.spans import AlarmSpan

BEGINNING_S: Final = 10.0


class FalseOfRecord(NamedTuple):
    """The false lethal alarms of one record."""

    spans: Sequence[AlarmSpan]
    seconds: float
    """Length of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """The false lethal alarms of several records; intervals over records."""

    alarms: int
    of_kind: dict[str, int]
    in_24_h: Estimate
    alarms_after_first_10_s: int
    of_kind_after_first_10_s: dict[str, int]
    in_24_h_after_first_10_s: Estimate


def count_false(records: Sequence[FalseOfRecord]) -> FalseAlarms:
    """Return how many false alarms there are, and how often they come."""
    early_and_late = [span for record in records for span in record.spans]
    late = [span for span in early_and_late if span.sure_s > BEGINNING_S]
    return FalseAlarms(
        alarms=len(early_and_late),
        of_kind=dict(Counter(span.kind for span in early_and_late)),
        in_24_h=estimate([(len(one.spans), one.seconds / 3600.0) for one in records], per_24_hours),
        alarms_after_first_10_s=len(late),
        of_kind_after_first_10_s=dict(Counter(span.kind for span in late)),
        in_24_h_after_first_10_s=estimate(
            [
                (
                    sum(span.sure_s > BEGINNING_S for span in one.spans),
                    max(0.0, one.seconds - BEGINNING_S) / 3600.0,
                )
                for one in records
            ],
            per_24_hours,
        ),
    )
