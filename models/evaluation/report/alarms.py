"""What is written and drawn of the alarms' figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from models.evaluation.report.markdown import number, page, table
from models.evaluation.report.pictures import TimeLine, draw_time_lines
from models.measure.provenance import described

BLOCK: Final = "alarms"
"""Name of the part of a document that holds the tables."""

PICTURE: Final = "alarms_vfdb.png"

FAMILY_NAMES: Final = {
    "vf": "fibrillation, flutter",
    "vt": "ventricular tachycardia",
    "asystole": "asystole",
}

Figures = Mapping[str, Any]


def alarm_page(figures: Figures, machine: Mapping[str, Any]) -> str:
    """Return the figures of the databases that were there as Markdown."""
    parts = []
    if "challenge2015" in figures:
        parts += _challenge(figures["challenge2015"])
    if "vfdb" in figures:
        parts += _vfdb(figures["vfdb"])
    if "mitdb" in figures:
        parts += _mitdb(figures["mitdb"])
    if "nstdb" in figures:
        parts += _noise(figures["nstdb"])
    if figures["missing"]:
        parts.append(f"Not there, and not measured: {', '.join(figures['missing'])}.")
    return page(*parts, f"{described(dict(machine))}.")


def _challenge(one: Figures) -> list[str]:
    leads = (
        ("the lead that a replay chooses", one["first_lead"]),
        ("the other ECG lead alone", one["second_lead"]),
        ("either of them", one["either_lead"]),
    )
    kinds = tuple(one["first_lead"]["score_of_kind"])
    return [
        f"### PhysioNet/CinC Challenge 2015, {one['records']} records",
        "The score weighs an alarm that was suppressed though true five times. Believing every "
        "alarm scores 39 on the full set of 750; the winners had pressure and pulse as well: 81.",
        table(
            ("", "score", "TP", "TN", "FP", "FN", *(kind.replace("_", " ") for kind in kinds)),
            (
                (
                    name,
                    number(f["score"], 1),
                    *(str(f[key]) for key in ("tp", "tn", "fp", "fn")),
                    *(number(f["score_of_kind"][kind], 0) for kind in kinds),
                )
                for name, f in leads
            ),
        ),
    ]


def _vfdb(one: Figures) -> list[str]:
    rows = []
    for family, name in FAMILY_NAMES.items():
        for which, whose in (("own_alarm", "its own"), ("any_alarm", "any that brings somebody")):
            f = one[family][which]
            rows.append(
                (
                    name,
                    whose,
                    f"{f['found']} of {f['episodes']}",
                    str(f["found_within_10_s"]),
                    number(f["time_to_alarm_median_s"], 1),
                    number(f["time_to_alarm_worst_s"], 1),
                    number(f["episode_positive_predictivity"], 0),
                    number(f["duration_sensitivity"], 0),
                    number(f["duration_positive_predictivity"], 0),
                )
            )
    header = ("episodes", "alarm", "found", "within 10 s", "median s", "worst s")
    short = ", ".join(
        f"{one[family]['shorter_episodes_found']} of {one[family]['shorter_episodes']} of {name}"
        for family, name in FAMILY_NAMES.items()
    )
    return [
        f"### MIT-BIH Malignant Ventricular Ectopy Database, {one['records']} records, "
        f"{one['hours']:g} h",
        table((*header, "+P %", "duration Se %", "duration +P %"), rows),
        f"Episodes shorter than a rule needs are not in the table: of these {short} were found.",
        f"Lethal alarms about nothing lethal: {one['false_lethal_alarms']}, "
        f"{one['false_lethal_alarms_per_hour']:g} an hour, "
        f"{one['false_lethal_alarms_in_noise']} of them where the reference says noise.",
        f"![Reference above, alarms below, of every record]({PICTURE})",
    ]


def _mitdb(one: Figures) -> list[str]:
    false = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in one["false_of_kind"].items())
    return [
        f"### MIT-BIH Arrhythmia Database, {one['records']} records, {one['hours']:g} h",
        table(
            ("", ""),
            (
                ("lethal alarms of a rhythm", str(one["lethal_alarms"])),
                ("false ones in 24 h", number(one["false_lethal_alarms_per_24_h"], 1)),
                ("false ones", false or "none"),
                ("alarms of an extreme rate", str(one["rate_alarms"])),
                ("false ones", str(one["false_rate_alarms"])),
                (
                    "runs of five ventricular beats or more at 100 bpm or more, found",
                    f"{one['vt_runs_found']} of {one['vt_runs']}",
                ),
            ),
        ),
    ]


def _noise(one: Figures) -> list[str]:
    def counted(key: str) -> str:
        return ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in one[key].items()) or "none"

    names = ", ".join(row["record"] for row in one["rows"])
    return [
        f"### MIT-BIH Noise Stress Test Database: {names}, {one['hours']:g} h",
        "False alarms of high priority where a healthy heart beats in the noise (118e00, 118e_6: "
        f"0 and -6 dB): {counted('false_lethal_alarms_with_a_heart')}. In noise alone, where "
        "asystole and a slow rate are right: "
        f"{counted('false_lethal_alarms_without')}.",
    ]


def draw_alarms(figures: Figures, folder: Path) -> Path | None:
    """Draw reference and alarms of vfdb over time into ``folder``; None where it was not there.

    Raises:
        ConfigError: the file cannot be written.
    """
    if "vfdb" not in figures:
        return None
    lines = []
    for row in figures["vfdb"]["rows"]:
        reference = [(s["name"], s["begin_s"], s["end_s"]) for s in row["reference"]]
        alarms = [(s["kind"], s["begin_s"], s["end_s"]) for s in row["alarms"]]
        lines.append(TimeLine(row["record"], reference, alarms))
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
