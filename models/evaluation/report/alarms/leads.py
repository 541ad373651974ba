"""The figures of one lead and of all leads of a patient, side by side."""

from collections.abc import Iterator
from itertools import chain
from typing import Final, TypeAlias

from models.evaluation.alarms.annotated import AnnotatedResult
from models.evaluation.alarms.atrial_fibrillation import AtrialResult
from models.evaluation.alarms.challenge2015 import ChallengeResult
from models.evaluation.alarms.episodes import EpisodeResult
from models.evaluation.alarms.evaluate import AlarmResult
from models.evaluation.alarms.nstdb import NoiseResult
from models.evaluation.alarms.side_by_side import FalseCount, FalseOfLeads, Measured
from models.evaluation.report.alarms.cells import OWN, RHYTHM_TITLES, interval
from models.evaluation.report.documents import Section
from models.evaluation.report.tables import Table, number, words

ALL_LEADS: Final = "all ECG leads, watched together"
OTHER_LEAD: Final = "the other ECG lead alone"

_TEXT: Final = (
    "One lead is what a monitor of one lead sees: in the challenge the lead that is usual for "
    "rhythm, elsewhere the first signal. All leads are all that are ECG, at most three, watched "
    "together as those of one patient."
)

Row: TypeAlias = tuple[str, ...]
"""Database, figure, with one lead, with all."""


def leads_section(result: AlarmResult) -> Section:
    """Return the figures of the databases whose records have several leads, and false alarms."""
    assert result.all_leads is not None
    rows = list(
        chain.from_iterable(
            _rows(name, result.databases[name], every)
            for name, every in result.all_leads.databases.items()
        )
    )
    found = Table(columns=("", "", "one lead", "all leads"), rows=rows, text_columns=2)
    false = Table(
        columns=(
            "false lethal alarms",
            *("one lead", "all leads"),
            *("in 24 h, one", "in 24 h, all"),
            *("asystole, one", "asystole, all"),
            *("VT, one", "VT, all"),
        ),
        rows=[_false_row(name, one) for name, one in result.all_leads.false_lethal.items()],
        notes=[
            "Of the challenge only alarms of the kind that the bedside monitor raised falsely "
            "count, without a rate; vfdb and cu do not say which extreme rates are false; cu and "
            "cinc17 have one lead."
        ],
        short={
            "one lead": "one",
            "all leads": "all",
            "in 24 h, one": "24 h 1",
            "in 24 h, all": "24 h all",
            "asystole, one": "asys 1",
            "asystole, all": "asys all",
            "VT, one": "VT 1",
            "VT, all": "VT all",
        },
    )
    return Section(title="One lead and all leads", level=3, blocks=[_TEXT, found, false])


def _false_row(name: str, one: FalseOfLeads) -> tuple[str, ...]:
    both = (one.one_lead, one.all_leads)

    def of(count: FalseCount) -> tuple[str, ...]:
        kinds = (count.alarms, count.in_24_h, count.asystole, count.ventricular_tachycardia)
        return tuple(number(kind, 1 if at == 1 else 0) for at, kind in enumerate(kinds))

    return name, *chain.from_iterable(zip(*map(of, both), strict=True))


def _rows(name: str, one: Measured, every: Measured) -> Iterator[Row]:
    """Yield the figures of a database with one lead and with all, a row each."""
    match one, every:
        case ChallengeResult(), ChallengeResult():
            yield from _challenge(one, every)
        case EpisodeResult(), EpisodeResult():
            yield from _episodes(name, one, every)
        case AnnotatedResult(), AnnotatedResult():
            yield from _annotated(name, one, every)
        case NoiseResult(), NoiseResult():
            for row, other in zip(one.qrs, every.qrs, strict=True):
                yield (
                    f"nstdb {row.record}",
                    "QRS Se / +P, %",
                    *(
                        f"{number(q.score.sensitivity, 2)} / "
                        f"{number(q.score.positive_predictivity, 2)}"
                        for q in (row, other)
                    ),
                )
        case AtrialResult(), AtrialResult():
            for records, both in one.agreement.items():
                for flutter, found in both.items():
                    pair = (found, every.agreement[records][flutter])
                    yield (
                        f"atrial fibrillation, {records}",
                        f"duration Se / +P, %, flutter {flutter}",
                        *(
                            f"{number(a.duration_sensitivity, 1)} / "
                            f"{number(a.duration_positive_predictivity, 1)}"
                            for a in pair
                        ),
                    )


def _challenge(one: ChallengeResult, every: ChallengeResult) -> Iterator[Row]:
    pair = (one.first_lead, every.first_lead)
    yield "challenge2015", "score, all kinds", *(interval(score.all.score) for score in pair)
    for kind in one.first_lead.of_kind:
        yield "", words(kind), *(interval(score.of_kind[kind].score) for score in pair)


def _episodes(name: str, one: EpisodeResult, every: EpisodeResult) -> Iterator[Row]:
    for rhythm, both in one.rhythms.items():
        other = every.rhythms[rhythm]
        for alarm, pair in (
            (f"{OWN} alarm", (both.own_alarm, other.own_alarm)),
            ("any lethal alarm", (both.any_alarm, other.any_alarm)),
        ):
            yield (
                name,
                f"{RHYTHM_TITLES[rhythm]}: found within 10 s by {alarm}",
                *(f"{a.found_within_10_s} of {a.episodes}" for a in pair),
            )


def _annotated(name: str, one: AnnotatedResult, every: AnnotatedResult) -> Iterator[Row]:
    pair = (one, every)
    yield (
        name,
        "runs of five V or more at 100 bpm or more, found",
        *(f"{a.vt_runs_found} of {a.vt_runs}" for a in pair),
    )
    yield (
        name,
        "runs of three and four V, found",
        *(f"{a.short_runs_found} of {a.short_runs}" for a in pair),
    )
    yield name, "QRS sensitivity, %", *(interval(a.qrs.sensitivity, 3) for a in pair)
    yield name, "QRS +P, %", *(interval(a.qrs.positive_predictivity, 3) for a in pair)
    yield (
        name,
        "QRS missed and false",
        *(f"{a.qrs.missed} + {a.qrs.false} = {a.qrs.missed + a.qrs.false}" for a in pair),
    )
