"""Tables and picture of the alarms, database by database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from models.evaluation.alarms.challenge2015 import ChallengeResult
from models.evaluation.alarms.evaluate import AlarmResult
from models.evaluation.alarms.mitdb import MitdbResult
from models.evaluation.alarms.nstdb import NstdbResult
from models.evaluation.alarms.vfdb import VfdbResult
from models.evaluation.report.documents import Picture, Section
from models.evaluation.report.pictures import TimeLine, draw_time_lines
from models.evaluation.report.tables import Table, counted, number, words
from models.measure.provenance import Provenance

SECTION: Final = "alarms"
"""Name of the section of a document that holds the tables."""

PICTURE: Final = "alarms_vfdb.png"


def alarm_sections(result: AlarmResult, machine: Provenance) -> list[Section]:
    """Return the figures of the databases that were there, and where they were measured."""
    return list(_sections(result, machine))


def _sections(result: AlarmResult, machine: Provenance) -> Iterator[Section]:
    if result.challenge2015 is not None:
        yield _challenge(result.challenge2015)
    if result.vfdb is not None:
        yield _vfdb(result.vfdb)
    if result.mitdb is not None:
        yield _mitdb(result.mitdb)
    if result.nstdb is not None:
        yield _nstdb(result.nstdb)
    missing = ", ".join(result.missing)
    yield Section(
        blocks=[f"Not there, and not measured: {missing}." if missing else "", f"{machine}."]
    )


def _challenge(one: ChallengeResult) -> Section:
    leads = (
        ("the lead that a replay chooses", one.first_lead),
        ("the other ECG lead alone", one.second_lead),
        ("either of them", one.either_lead),
    )
    kinds = one.first_lead.score_of_kind
    table = Table(
        columns=("", "score", "TP", "TN", "FP", "FN", *map(words, kinds)),
        rows=[
            (
                name,
                number(lead.score, 1),
                *map(str, (lead.tp, lead.tn, lead.fp, lead.fn)),
                *(number(lead.score_of_kind[kind], 0) for kind in kinds),
            )
            for name, lead in leads
        ],
        short={
            "Asystole": "Asys",
            "Bradycardia": "Brady",
            "Tachycardia": "Tachy",
            "Ventricular Flutter Fib": "VF",
            "Ventricular Tachycardia": "VT",
        },
    )
    return Section(
        title=f"PhysioNet/CinC Challenge 2015, {one.records} records",
        level=3,
        blocks=[
            "The score weighs an alarm that was suppressed though true five times. Believing every "
            "alarm scores 39 on the full set of 750; the winners had pressure and pulse as well: "
            "81.",
            table,
        ],
    )


def wrong_call_table(one: ChallengeResult) -> Table:
    """Return the records of the challenge that the first lead gets wrong."""
    return Table(
        title="Called wrongly in the first lead",
        columns=("record", "alarm", "was", "ours"),
        rows=[
            (row.record, row.kind, "true" if row.true else "false", row.alarm or "none")
            for row in one.rows
            if row.fired != row.true
        ],
        text_columns=4,
    )


def _vfdb(one: VfdbResult) -> Section:
    families = (
        ("fibrillation, flutter", one.vf),
        ("ventricular tachycardia", one.vt),
        ("asystole", one.asystole),
    )
    rows = [
        (
            name,
            alarm,
            f"{agreement.found} of {agreement.episodes}",
            str(agreement.found_within_10_s),
            number(agreement.time_to_alarm_median_s, 1),
            number(agreement.time_to_alarm_worst_s, 1),
            number(agreement.episode_positive_predictivity, 0),
            number(agreement.duration_sensitivity, 0),
            number(agreement.duration_positive_predictivity, 0),
        )
        for name, family in families
        for alarm, agreement in (
            ("its own", family.own_alarm),
            ("any that brings somebody", family.any_alarm),
        )
    ]
    table = Table(
        columns=(
            "episodes", "alarm", "found", "within 10 s", "median s", "worst s", "+P %",
            "duration Se %", "duration +P %",
        ),
        rows=rows,
        short={
            "within 10 s": "≤10 s",
            "median s": "med s",
            "worst s": "max s",
            "duration Se %": "dur Se",
            "duration +P %": "dur +P",
        },
    )  # fmt: skip
    short = ", ".join(
        f"{family.shorter_episodes_found} of {family.shorter_episodes} of {name}"
        for name, family in families
    )
    return Section(
        title=f"MIT-BIH Malignant Ventricular Ectopy Database, {one.records} records, "
        f"{one.hours:g} h",
        level=3,
        blocks=[
            table,
            f"Episodes shorter than a rule needs are not in the table: of these {short} were "
            "found.",
            f"Lethal alarms about nothing lethal: {one.false_lethal_alarms}, "
            f"{one.false_lethal_alarms_per_hour:g} an hour, "
            f"{one.false_lethal_alarms_in_noise} of them where the reference says noise.",
            Picture("Reference above, alarms below, of every record", PICTURE),
        ],
    )


def _mitdb(one: MitdbResult) -> Section:
    table = Table(
        columns=("", ""),
        rows=[
            ("lethal alarms of a rhythm", str(one.lethal_alarms)),
            ("false ones in 24 h", number(one.false_lethal_alarms_per_24_h, 1)),
            ("false ones", counted(one.false_of_kind)),
            ("alarms of an extreme rate", str(one.rate_alarms)),
            ("false ones", str(one.false_rate_alarms)),
            (
                "runs of five ventricular beats or more at 100 bpm or more, found",
                f"{one.vt_runs_found} of {one.vt_runs}",
            ),
        ],
    )
    return Section(
        title=f"MIT-BIH Arrhythmia Database, {one.records} records, {one.hours:g} h",
        level=3,
        blocks=[table],
    )


def _nstdb(one: NstdbResult) -> Section:
    names = ", ".join(row.record for row in one.rows)
    return Section(
        title=f"MIT-BIH Noise Stress Test Database: {names}, {one.hours:g} h",
        level=3,
        blocks=[
            "False alarms of high priority where a healthy heart beats in the noise (118e00, "
            f"118e_6: 0 and -6 dB): {counted(one.false_lethal_alarms_with_a_heart)}. In noise "
            "alone, where asystole and a slow rate are right: "
            f"{counted(one.false_lethal_alarms_without)}."
        ],
    )


def draw_alarms(result: AlarmResult, folder: Path) -> Path | None:
    """Draw reference and alarms of vfdb over time into ``folder``; None where it was not there.

    Raises:
        ConfigError: the file cannot be written.
    """
    if result.vfdb is None:
        return None
    lines = [
        TimeLine(
            row.record,
            [(episode.name, episode.begin_s, episode.end_s) for episode in row.reference],
            [(alarm.kind, alarm.begin_s, alarm.end_s) for alarm in row.alarms],
        )
        for row in result.vfdb.rows
    ]
    file = folder / PICTURE
    draw_time_lines(file, "vfdb: what the reference names above, our alarms below", lines, COLOURS)
    return file


COLOURS: Final = {
    "VF": "tab:red",
    "VFIB": "tab:red",
    "VFL": "tab:red",
    "ventricular_fibrillation": "tab:red",
    "VT": "tab:orange",
    "ventricular_tachycardia": "tab:orange",
    "ASYS": "tab:blue",
    "asystole": "tab:blue",
}
