"""Model cards: what ships, measured how, against what was asked, and what it cannot see.

`write_reports` runs the protocols and keeps their JSON in a folder; `write_cards` makes the pages
of that JSON alone, so that no figure in them is typed by hand. What was asked for, and what
others have published, stands in this module with its source.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from models.data.annotated_beats import load_beats
from models.evaluation.protocols.beatgan import evaluate_beatgan
from models.evaluation.protocols.interpatient import evaluate_interpatient
from models.evaluation.report.card_classifier import classifier_page, classifier_targets
from models.evaluation.report.card_live_score import live_score_page, live_score_targets
from models.evaluation.report.card_student import student_page, student_targets
from models.evaluation.report.markdown import HEAD, PICTURES, measured_on, page, targets
from models.files.atomic_write import write_atomically
from pipeline.errors import ArtifactError

REPORTS: Final = ("beatgan", "interpatient")
"""What a card cannot do without."""

OPTIONAL_REPORTS: Final = ("teacher", "classifier_optimisers")
"""Shown where they are: a measured teacher, the comparison of the classifier's optimisers."""


def write_reports(
    data: Path,
    folder: Path,
    *,
    teacher: Path | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> None:
    """Measure what ships and write JSON and pictures into ``folder``, which is made.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        folder: of the cards.
        teacher: checkpoint of a teacher, to measure it too.
        on_step: told what comes next.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: something that ships is unusable, or the teacher is.
        ConfigError: pictures cannot be drawn here, or the folder cannot be written.
    """
    pictures = folder / PICTURES
    if teacher is not None:
        from models.evaluation.protocols.teacher import evaluate_teacher

        on_step("teacher")
        save_report(folder, "teacher", evaluate_teacher(load_beats(data), teacher))
    save_report(folder, "beatgan", evaluate_beatgan(data, pictures=pictures, on_step=on_step))
    save_report(
        folder, "interpatient", evaluate_interpatient(data, pictures=pictures, on_step=on_step)
    )


def write_cards(folder: Path) -> list[Path]:
    """Write the pages of the JSON in ``folder``; return their files.

    Raises:
        ArtifactError: a report is missing or no JSON.
        ConfigError: the folder cannot be written.
    """
    reports: dict[str, Any] = {name: _report(folder / f"{name}.json") for name in REPORTS}
    for name in OPTIONAL_REPORTS:
        if (folder / f"{name}.json").is_file():
            reports[name] = _report(folder / f"{name}.json")
    reports["ablation"] = (folder / "ablation.md").is_file()
    pages = {
        "README.md": index_page(reports),
        "student.md": student_page(reports),
        "live_score.md": live_score_page(reports),
        "classifier.md": classifier_page(reports),
    }
    for name, text in pages.items():
        write_atomically(folder / name, text)
    return [folder / name for name in pages]


def index_page(reports: Mapping[str, Any]) -> str:
    """Return what ships and how it does against what was asked, as Markdown."""
    beatgan, unseen = reports["beatgan"], reports["interpatient"]
    asked = (student_targets(beatgan), live_score_targets(unseen), classifier_targets(unseen))
    return page(
        "# Models",
        HEAD,
        "Three things judge a beat. The [student](student.md) scores its shape, the "
        "[live score](live_score.md) joins that with what is usual in this patient and with "
        "rhythm, and the [classifier](classifier.md) names the class of what is anomalous."
        + (
            " [The ablation](ablation.md) asks whether a teacher helps the student."
            * reports["ablation"]
        ),
        "## Asked and measured",
        "The BeatGAN protocol mixes the beats of all patients, as the published figures of that "
        "family do. A monitor meets patients whom it has never seen: the other figures are of "
        "such.",
        targets(target for part in asked for target in part),
        "## Measured on",
        measured_on({"BeatGAN protocol": beatgan, "unseen patients": unseen}),
    )


def save_report(folder: Path, name: str, report: Mapping[str, Any]) -> None:
    """Write a report as ``name.json`` into ``folder``, which is made; `ConfigError` if it fails."""
    write_atomically(folder / f"{name}.json", json.dumps(report, indent=1, allow_nan=False) + "\n")


def _report(path: Path) -> dict[str, Any]:
    again = "write it with `monitor evaluate cards`"
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"report {path}: {error.strerror}; {again}") from None
    except ValueError:
        raise ArtifactError(f"{path} is no JSON; {again}") from None
    if not isinstance(report, dict):
        raise ArtifactError(f"{path} is no report; {again}")
    return report
