"""Model cards: what ships, how it was measured, what was asked of it, and its limits.

`write_reports` runs the protocols and writes their JSON into a folder; `write_cards` makes the
pages from that JSON alone, so that no figure in them is typed by hand.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from models.data.annotated_beats import load_beats
from models.evaluation.cards.classifier import classifier_card
from models.evaluation.cards.live_score import live_score_card
from models.evaluation.cards.parts import HEAD, PICTURES, Reports, measured_on
from models.evaluation.cards.student import student_card, student_targets
from models.evaluation.protocols.beatgan import BeatganResult, TeacherResult, evaluate_beatgan
from models.evaluation.protocols.beats import BeatsResult
from models.evaluation.protocols.interpatient import (
    APART,
    InterpatientResult,
    evaluate_interpatient,
)
from models.evaluation.report.beatgan import draw_beatgan
from models.evaluation.report.classifier import classifier_targets
from models.evaluation.report.documents import Section
from models.evaluation.report.interpatient import draw_interpatient, live_score_targets
from models.evaluation.report.markdown import markdown
from models.evaluation.report.pictures import prepare
from models.evaluation.report.tables import target_table
from models.files.atomic_write import write_atomically
from models.measure.result_json import from_json, to_json
from pipeline.errors import ArtifactError

T = TypeVar("T")

BEATGAN: Final = "beatgan"
INTERPATIENT: Final = "interpatient"
TEACHER: Final = "teacher"
BEATS: Final = "beats"
"""Names of the reports. The last two are shown where they exist; ``monitor evaluate beats --json``
prints the last."""


def write_reports(
    data: Path,
    folder: Path,
    *,
    teachers: Sequence[Path] = (),
    on_step: Callable[[str], None] = lambda text: None,
) -> None:
    """Measure what ships and write JSON and pictures into ``folder``, which is made.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        folder: of the cards.
        teachers: checkpoints of the teachers of one fold, to measure them together too.
        on_step: called before each step with a few words that name it.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: something that ships is unusable, or a teacher is.
        ConfigError: pictures cannot be drawn here, or the folder cannot be written.
    """
    pictures = folder / PICTURES
    if teachers:
        from models.evaluation.protocols.teacher import evaluate_teachers

        on_step("teachers")
        save_report(folder, TEACHER, evaluate_teachers(load_beats(data), teachers))
    prepare(pictures)
    beatgan = evaluate_beatgan(data, on_step=on_step)
    on_step("drawing")
    draw_beatgan(beatgan.scores, pictures)
    save_report(folder, BEATGAN, beatgan.result)
    unseen = evaluate_interpatient(data, keep_strips=True, on_step=on_step)
    on_step("drawing")
    draw_interpatient(unseen.beats, unseen.result.threshold, APART, pictures)
    save_report(folder, INTERPATIENT, unseen.result)


def write_cards(folder: Path) -> list[Path]:
    """Write the pages of the JSON in ``folder``; return their files.

    Raises:
        ArtifactError: a report is missing, or is none.
        ConfigError: the folder cannot be written.
    """
    reports = Reports(
        beatgan=_report(folder, BEATGAN, BeatganResult),
        interpatient=_report(folder, INTERPATIENT, InterpatientResult),
        teacher=_optional_report(folder, TEACHER, TeacherResult),
        beats=_optional_report(folder, BEATS, BeatsResult),
        ablation=(folder / "ablation.md").is_file(),
    )
    pages = {
        "README.md": index_card(reports),
        "student.md": student_card(reports),
        "live_score.md": live_score_card(reports),
        "classifier.md": classifier_card(reports),
    }
    for name, sections in pages.items():
        write_atomically(folder / name, markdown(sections))
    return [folder / name for name in pages]


def index_card(reports: Reports) -> list[Section]:
    """Return what ships, and how it does against what was asked."""
    beatgan, unseen = reports.beatgan, reports.interpatient
    asked = [
        *student_targets(beatgan),
        *live_score_targets(unseen.unseen),
        *classifier_targets(unseen.classifier),
    ]
    return [
        Section(
            title="Models",
            level=1,
            blocks=[
                HEAD,
                "Three parts assess a beat. The [student](student.md) scores its shape, the "
                "[live score](live_score.md) joins that with what is usual in this patient and "
                "with rhythm and with the class, which the [classifier](classifier.md) names."
                + (
                    " [The ablation](ablation.md) asks whether a teacher helps the student."
                    * reports.ablation
                ),
            ],
        ),
        Section(
            title="Asked and measured",
            blocks=[
                "The BeatGAN protocol mixes the beats of all patients, as the published figures of "
                "such models do. A monitor meets patients whom it has never seen: the other "
                "figures are of such.",
                target_table(asked),
            ],
        ),
        measured_on({"BeatGAN protocol": beatgan.machine, "unseen patients": unseen.machine}),
    ]


def save_report(folder: Path, name: str, result: object) -> None:
    """Write a result as ``name.json`` into ``folder``, which is made; `ConfigError` if it fails."""
    text = json.dumps(to_json(result), indent=1, allow_nan=False)
    write_atomically(folder / f"{name}.json", text + "\n")


def _optional_report(folder: Path, name: str, kind: type[T]) -> T | None:
    return _report(folder, name, kind) if (folder / f"{name}.json").is_file() else None


def _report(folder: Path, name: str, kind: type[T]) -> T:
    command = "beats --json" if name == BEATS else "cards"
    path, again = folder / f"{name}.json", f"write it with `monitor evaluate {command}`"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"report {path}: {error.strerror}; {again}") from None
    except ValueError:
        raise ArtifactError(f"{path} is no JSON; {again}") from None
    try:
        return from_json(kind, content)
    except ValueError as error:
        raise ArtifactError(f"{path} is no report: {error}; {again}") from None
