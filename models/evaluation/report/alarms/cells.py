"""Cells and tables that the alarms of several databases have in common."""

from collections.abc import Mapping
from typing import Final

from models.evaluation.alarms.bootstrap import Estimate
from models.evaluation.alarms.false_alarms import FalseAlarms
from models.evaluation.alarms.spans import Agreement
from models.evaluation.report.tables import DASH, Table, counted, number

AGREEMENT_COLUMNS: Final = (
    "reference",
    "alarm",
    "TP",
    "FN",
    "Se % (95 %)",
    "median s",
    "p90 s",
    "worst s",
)
"""Columns of `agreement_row`."""

OWN, ANY = "its own", "any lethal one"

RHYTHM_TITLES: Final = {
    "vf": "fibrillation, flutter",
    "vt": "ventricular tachycardia",
    "asystole": "asystole",
}

AGREEMENT_NOTE: Final = (
    "TP: an alarm came within 10 s of the onset; FN: none did. The times are those of all alarms "
    "that came. In brackets the 95 % interval of a bootstrap over records, where it has a width."
)


def interval(one: Estimate, digits: int = 1) -> str:
    """Return a figure and its interval, if it has one; a dash for no figure."""
    if one.value is None:
        return DASH
    if one.low is None:
        return number(one.value, digits)
    limits = f"{number(one.low, digits)} to {number(one.high, digits)}"
    return f"{number(one.value, digits)} ({limits})"


def agreement_row(reference: str, alarm: str, one: Agreement) -> tuple[str, ...]:
    """Return how alarms agree with the episodes of one kind: `AGREEMENT_COLUMNS`."""
    return (
        reference,
        alarm,
        str(one.found_within_10_s),
        str(one.episodes - one.found_within_10_s),
        interval(one.within_10_s_percent, 0),
        number(one.time_to_alarm_median_s, 1),
        number(one.time_to_alarm_p90_s, 1),
        number(one.time_to_alarm_worst_s, 1),
    )


def false_table(one: FalseAlarms, more: Mapping[str, str] | None = None) -> Table:
    """Return how often lethal alarms are false, and ``more`` rows."""
    return Table(
        columns=("", ""),
        rows=[
            ("false lethal alarms in 24 h, extreme rates too", interval(one.in_24_h)),
            ("false lethal alarms", counted(one.of_kind)),
            (
                "in 24 h after the first 10 s of each record",
                interval(one.in_24_h_after_first_10_s),
            ),
            ("after the first 10 s", counted(one.of_kind_after_first_10_s)),
            *(more or {}).items(),
        ],
        text_columns=2,
    )
