"""The sections about the alarms in a document: one for each database that was there."""

from collections.abc import Iterable, Iterator
from typing import Final

from models.evaluation.alarms.annotated import AnnotatedResult
from models.evaluation.alarms.atrial_fibrillation import AtrialResult, LabelResult
from models.evaluation.alarms.challenge2015 import ChallengeResult
from models.evaluation.alarms.cinc17 import WearerResult
from models.evaluation.alarms.episodes import RHYTHMS, EpisodeResult
from models.evaluation.alarms.evaluate import AlarmResult
from models.evaluation.alarms.nstdb import NoiseResult
from models.evaluation.alarms.side_by_side import Measured
from models.evaluation.report.alarms.cells import (
    AGREEMENT_COLUMNS,
    AGREEMENT_NOTE,
    ANY,
    OWN,
    RHYTHM_TITLES,
    agreement_row,
    false_table,
    interval,
)
from models.evaluation.report.alarms.leads import ALL_LEADS, OTHER_LEAD, leads_section
from models.evaluation.report.alarms.pictures import TIME_LINES
from models.evaluation.report.documents import Block, Picture, Section
from models.evaluation.report.tables import Table, counted, number, percent, words
from models.measure.provenance import Provenance

SECTION: Final = "alarms"
"""Name of the section of a document that holds the tables."""

TITLES: Final = {
    "challenge2015": "PhysioNet/CinC Challenge 2015",
    "vfdb": "MIT-BIH Malignant Ventricular Ectopy Database",
    "cu": "Creighton University Ventricular Tachyarrhythmia Database",
    "mitdb": "MIT-BIH Arrhythmia Database",
    "svdb": "MIT-BIH Supraventricular Arrhythmia Database",
    "nstdb": "MIT-BIH Noise Stress Test Database",
    "cinc17": "PhysioNet/CinC Challenge 2017, normal records",
    "mitdb rhythms": "Atrial fibrillation, MIT-BIH Arrhythmia Database",
    "cinc17 labels": "Atrial fibrillation, PhysioNet/CinC Challenge 2017",
}


def alarm_sections(result: AlarmResult, machine: Provenance) -> list[Section]:
    """Return the figures of the databases that were there, and where they were measured.

    First one lead and all side by side, then each database, of one lead or of those asked for.
    """
    missing = ", ".join(result.missing)
    every = result.all_leads.databases if result.all_leads else {}
    absent = "Not there, and" if result.leads is None else "Not there, or without these leads, and"
    return [
        *([leads_section(result)] if every else []),
        *([Section(blocks=[f"Leads: {result.leads}."])] if result.leads is not None else []),
        *(_section(name, one, every.get(name)) for name, one in result.databases.items()),
        Section(blocks=[f"{absent} not measured: {missing}." if missing else "", f"{machine}."]),
    ]


def wrong_lines(result: AlarmResult) -> list[str]:
    """Return what was called wrongly in every database, with one lead, a line each."""
    return _lines(result.databases.values())


def wrong_lines_of_all_leads(result: AlarmResult) -> list[str]:
    """Return the same with all leads."""
    return _lines(result.all_leads.databases.values()) if result.all_leads else []


def _lines(measured: Iterable[Measured]) -> list[str]:
    return [
        f"{call.record}@{call.at_s:.1f}  {call.wrong}; ours: {call.ours}"
        for one in measured
        for call in one.wrong
    ]


def _section(name: str, one: Measured, every: Measured | None) -> Section:
    match one:
        case ChallengeResult():
            all_leads = every if isinstance(every, ChallengeResult) else None
            length, blocks = f"{one.records} records", list(_challenge(one, all_leads))
        case EpisodeResult():
            length, blocks = _length(one.records, one.hours), list(_episodes(name, one))
        case AnnotatedResult():
            length, blocks = _length(one.records, one.hours), list(_annotated(one))
        case NoiseResult():
            names = ", ".join(row.record for row in one.rows)
            length, blocks = f"{names}, {one.hours:g} h", list(_noise(one))
        case WearerResult():
            length, blocks = _length(one.records, one.hours), list(_wearers(one))
        case AtrialResult():
            length, blocks = _length(one.records, one.hours), list(_rhythms(one))
        case LabelResult():
            length, blocks = _length(one.records, one.hours), list(_labels(one))
        case _:
            raise TypeError(f"no table for {type(one).__name__}: add one here")
    return Section(title=f"{TITLES[name]}, {length}", level=3, blocks=blocks)


def _length(records: int, hours: float) -> str:
    return f"{records} records, {hours:g} h"


def _challenge(one: ChallengeResult, every: ChallengeResult | None) -> Iterator[Block]:
    yield (
        "The score weighs an alarm that was suppressed though true five times. Believing every "
        "alarm scores 39 on the full set of 750; the winners had pressure and pulse as well: 81. "
        "In brackets the 95 % interval of a bootstrap over records."
    )
    chosen = (
        "the leads asked for" if one.second_lead is None else "the lead that is usual for rhythm"
    )
    leads = (
        (chosen, one.first_lead),
        (ALL_LEADS, every.first_lead if every else None),
        (OTHER_LEAD, one.second_lead),
        ("either of them", one.either_lead),
    )
    yield Table(
        columns=("lead", "alarm", "TP", "FN", "FP", "TN", "score (95 %)"),
        rows=[
            (
                name if kind == "all" else "",
                words(kind),
                *map(str, (cells.tp, cells.fn, cells.fp, cells.tn)),
                interval(cells.score),
            )
            for name, lead in leads
            if lead is not None
            for kind, cells in {"all": lead.all, **lead.of_kind}.items()
        ],
        text_columns=2,
    )


def _episodes(name: str, one: EpisodeResult) -> Iterator[Block]:
    rows = []
    for rhythm, both in one.rhythms.items():
        title = RHYTHM_TITLES[rhythm]
        false = sum(one.false_of_kind.get(kind, 0) for kind in RHYTHMS[rhythm].own)
        rows.append((*agreement_row(title, OWN, both.own_alarm), str(false)))
        rows.append((*agreement_row(title, ANY, both.any_alarm), ""))
        if rhythm in one.unseen:
            rows.append((*agreement_row(title, f"{ANY}, unseen", one.unseen[rhythm]), ""))
    unseen = ", ".join(one.unseen_records)
    yield Table(
        columns=(*AGREEMENT_COLUMNS, "FP"),
        rows=rows,
        text_columns=2,
        notes=[
            AGREEMENT_NOTE,
            *(
                [f"Unseen: {unseen}, on which the rule for fibrillation was not fitted."]
                * bool(unseen)
            ),
        ],
        short={"median s": "med s", "worst s": "max s"},
    )
    yield Table(
        columns=("alarm of the same name", "episode +P %", "duration Se %", "duration +P %"),
        rows=[
            (
                RHYTHM_TITLES[rhythm],
                number(both.own_alarm.episode_positive_predictivity, 0),
                number(both.own_alarm.duration_sensitivity, 0),
                number(both.own_alarm.duration_positive_predictivity, 0),
            )
            for rhythm, both in one.rhythms.items()
        ],
    )
    already = ", ".join(
        f"{both.any_alarm.on_at_onset} of {RHYTHM_TITLES[rhythm]}"
        for rhythm, both in one.rhythms.items()
    )
    yield f"Found by a lethal alarm that was on already at the onset, of whatever kind: {already}."
    short = ", ".join(
        f"{both.shorter_episodes_found} of {both.shorter_episodes} of {RHYTHM_TITLES[rhythm]} "
        f"below {both.least_s:g} s"
        for rhythm, both in one.rhythms.items()
    )
    yield f"Episodes shorter than a rule needs are not in the tables. Found of them: {short}."
    noisy = one.false_lethal_alarms_in_noise
    in_noise = f", {noisy} of them where it says noise" if noisy else ""
    yield (
        "Alarms of a lethal rhythm near no episode that confirms them (FP): "
        f"{counted(one.false_of_kind)}{in_noise}; {interval(one.false_lethal_alarms_per_hour, 2)} "
        "an hour. Alarms of an extreme rate outside lethal episodes, which this reference cannot "
        f"judge: {one.rate_alarms_elsewhere}."
    )
    if name in TIME_LINES:
        yield Picture("Reference above, alarms below, of every record", TIME_LINES[name])


def _annotated(one: AnnotatedResult) -> Iterator[Block]:
    rows = [
        (*agreement_row(words(kind), alarm, agreement), false, right)
        for kind, both in one.kinds.items()
        for alarm, agreement, false, right in (
            (OWN, both.own_alarm, str(both.false), str(both.right)),
            (ANY, both.any_alarm, "", ""),
        )
        if both.own_alarm.episodes or (alarm == OWN and (both.false or both.right))
    ]
    yield Table(
        columns=(*AGREEMENT_COLUMNS, "FP", "confirmed"),
        rows=rows,
        text_columns=2,
        notes=[
            AGREEMENT_NOTE,
            "FP: alarms of this kind that nothing in the reference confirms.",
        ],
        short={"median s": "med s", "worst s": "max s", "confirmed": "conf"},
    )
    yield false_table(
        one.false_lethal,
        {
            **_unseen(one),
            "runs of five ventricular beats or more at 100 bpm or more, found": (
                f"{one.vt_runs_found} of {one.vt_runs}"
            ),
            "runs of three and four ventricular beats, found": (
                f"{one.short_runs_found} of {one.short_runs}, {interval(one.short_runs_percent)} %"
            ),
            "QRS sensitivity, %": f"{interval(one.qrs.sensitivity, 3)}; {one.qrs.missed} missed",
            "QRS +P, %": f"{interval(one.qrs.positive_predictivity, 3)}; {one.qrs.false} false",
            "most missed": _worst({row.record: row.score.fn for row in one.qrs.rows}),
            "most false": _worst({row.record: row.score.fp for row in one.qrs.rows}),
        },
    )


def _unseen(one: AnnotatedResult) -> dict[str, str]:
    """Return the row of the records on which no weights were fitted, if there are some."""
    if not one.unseen_records:
        return {}
    name = f"in 24 h on the {len(one.unseen_records)} records on which no weights were fitted"
    return {name: interval(one.false_lethal_unseen.in_24_h)}


def _worst(counts: dict[str, int]) -> str:
    """Return the five records with the most errors, in words."""
    worst = sorted(counts.items(), key=lambda item: -item[1])[:5]
    return ", ".join(f"{record} {n}" for record, n in worst if n) or "none"


def _noise(one: NoiseResult) -> Iterator[Block]:
    yield (
        "False alarms of high priority where a healthy heart beats in the noise (118e00, 118e_6: 0 "
        f"and -6 dB): {counted(one.false_lethal_alarms_with_a_heart)}. In noise alone, where "
        "asystole and a slow rate are right: "
        f"{counted(one.false_lethal_alarms_without)}."
    )
    if one.qrs:
        yield Table(
            columns=("QRS complexes", "found", "missed", "false", "Se %", "+P %"),
            rows=[
                (
                    row.record,
                    *map(str, (row.score.tps, row.score.fn, row.score.fp)),
                    number(row.score.sensitivity, 2),
                    number(row.score.positive_predictivity, 2),
                )
                for row in one.qrs
            ],
        )


def _wearers(one: WearerResult) -> Iterator[Block]:
    yield (
        "Healthy wearers, 9 to 60 s each: every lethal alarm is false, and much of the signal lies "
        "in the seconds that a monitor needs for learning."
    )
    share = percent(one.beats_not_analysable / one.beats if one.beats else None)
    yield false_table(
        one.false_lethal,
        {"beats not analysable": f"{one.beats_not_analysable} of {one.beats:,}, {share}"},
    )


def _rhythms(one: AtrialResult) -> Iterator[Block]:
    yield Table(
        columns=(
            "records",
            "flutter",
            "episodes found",
            "episode Se %",
            "episode +P %",
            "duration Se %",
            "duration +P %",
        ),
        rows=[
            (
                records,
                flutter,
                f"{found.found} of {found.episodes}",
                number(found.episode_sensitivity, 0),
                number(found.episode_positive_predictivity, 0),
                number(found.duration_sensitivity, 1),
                number(found.duration_positive_predictivity, 1),
            )
            for records, both in one.agreement.items()
            for flutter, found in both.items()
        ],
        text_columns=2,
        notes=[
            "The weights were fitted on DS1; nothing was fitted on DS2. Most of the episodes that "
            "are not found are shorter than the 30 s after which the alarm is raised. Where "
            "flutter is left out, alarms are cut there, and each part counts as one."
        ],
    )
    rows = [
        f"{row.record} {100 * row.share:.0f} ({100 * row.fibrillation_s / row.seconds:.0f})"
        for row in one.rows
        if row.share is not None
    ]
    yield f"Share of time in % by `status` (by the reference): {', '.join(rows)}."


def _labels(one: LabelResult) -> Iterator[Block]:
    called = ", ".join(f"{n} {label}" for label, n in one.called_of_label.items())
    yield Table(
        columns=("A against the rest", "TP", "FN", "FP", "TN", "F1 (95 %)"),
        rows=[
            (
                "called by the mean evidence of a record",
                *map(str, (one.tp, one.fn, one.fp, one.tn)),
                interval(one.f1, 3),
            )
        ],
        notes=[
            f"Called: {called}. The weights were fitted on these records: `monitor train "
            "atrial-fibrillation` prints F1 with each record assessed by "
            "weights that do not know it."
        ],
    )
