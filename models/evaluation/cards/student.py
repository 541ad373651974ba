"""The card of the student, and what is asked of it."""

from collections.abc import Mapping
from typing import Final

from models.evaluation.cards.parts import (
    HEAD,
    MITDB,
    ONE_DATABASE,
    SPEED,
    Reports,
    measured_on,
    protocol_pictures,
)
from models.evaluation.protocols.beatgan import (
    BeatganResult,
    FoldsResult,
    StudentFacts,
    TeacherResult,
)
from models.evaluation.report.beatgan import count_range, fold_table, kind_table
from models.evaluation.report.documents import Bullets, Section
from models.evaluation.report.tables import (
    DASH,
    Table,
    Target,
    number,
    plain,
    speed,
    target_table,
    words,
)
from models.measure.result_json import Fact

_WEAKEST: Final = 3

_TARGETS: Final[Mapping[str, str]] = {
    "beat": "to reconstruct normal beats",
    "neighbours": "to give for a normal beat the mean of the five other normal beats nearest to it",
    "teacher": "to give for a normal beat the mean reconstruction of its teachers",
}


def student_targets(beatgan: BeatganResult) -> list[Target]:
    """Return what is asked of the fold students."""
    folds, student = beatgan.folds, beatgan.student.facts
    return [
        Target("BeatGAN protocol: AUC, mean of the folds", folds.auc.mean, 0.977, digits=4),
        Target("BeatGAN protocol: AP, mean of the folds", folds.ap.mean, 0.955, digits=4),
        Target("student: parameters", student.parameters, 110_000, at_most=True, digits=0),
        Target("student: file, MB", student.file_bytes / 1e6, 0.5, at_most=True, digits=2),
    ]


def student_card(reports: Reports) -> list[Section]:
    """Return the card of the student."""
    beatgan, teacher = reports.beatgan, reports.teacher
    machines = {"students": beatgan.machine}
    if teacher is not None:
        machines["teacher"] = teacher.machine
    return [
        Section(
            title="The student",
            level=1,
            blocks=[
                HEAD,
                "An autoencoder in the layout of BeatGAN's generator, narrower, with a smaller "
                f"bottleneck. {_training(reports)} The score of a beat is the mean square of "
                "the difference between the beat and what the student gives for it, after a moving "
                "average. Input: one lead at 360 Hz, 3 to 45 Hz, a window of 320 samples from 140 "
                "before the R peak on, scaled to [-1, 1].",
                "The student that scores live was trained on the patients of DS1 alone. Those in "
                "`models/weights/folds` were trained on the folds of the BeatGAN protocol; they "
                "are there for its figures and score nothing else.",
            ],
        ),
        Section(title="Size, speed, training", blocks=[_student_table(reports), SPEED]),
        _protocol(beatgan),
        _teacher_and_student(beatgan, teacher, ablation=reports.ablation),
        protocol_pictures("beatgan"),
        _limits(beatgan.folds),
        Section(
            title="Sources",
            blocks=[
                Bullets(
                    [
                        "Zhou, Liu, Hooi, Cheng, Ye: BeatGAN: Anomalous Rhythm Detection using "
                        "Adversarially Generated Time Series. IJCAI 2019.",
                        MITDB,
                    ]
                )
            ],
        ),
        measured_on(machines),
    ]


def _training(reports: Reports) -> str:
    """Return a sentence on how the students were trained, as their artifacts have it."""
    live, folds = (
        _lesson(one.training)
        for one in (reports.interpatient.student.facts, reports.beatgan.student.facts)
    )
    if live == folds:
        return f"It was trained {live}."
    return (
        f"The student that scores live was trained {live}; those of the folds {folds}. What helps "
        "on patients whose other beats were seen did not help on new ones ([trials](trials.md))."
    )


def _lesson(training: Mapping[str, Fact]) -> str:
    target, method = str(training.get("target", "beat")), str(training.get("method", "unknown"))
    if method != "none":
        return f"{_TARGETS[target]}, by the method {method}"
    return _TARGETS[target] + ", without a teacher" * (target == "beat")


def _student_table(reports: Reports) -> Table:
    """Return a column for the student that scores live, one for those of the folds."""
    live, fold = reports.interpatient.student.facts, reports.beatgan.student
    columns = [_described(live), _described(fold.facts)]
    names = dict.fromkeys([*columns[0], *columns[1]])
    rows = [(name, *(column.get(name, DASH) for column in columns)) for name in names]
    rows += [(name, text, text) for name, text in speed(fold.us_per_beat).items()]
    return Table(
        columns=("", "live", f"fold {reports.beatgan.folds.folds[0].fold}"),
        rows=rows,
    )


def _described(student: StudentFacts) -> Mapping[str, str]:
    first, end = student.scored_ticks
    return {
        "parameters": f"{student.parameters:,}",
        "file, bytes": f"{student.file_bytes:,}",
        "width, latent": f"{student.width}, {student.latent}",
        "moving average, ticks": str(student.smoothing_ticks),
        "scored ticks": f"{first} to {end - 1}",
        **{words(name): plain(value) for name, value in student.training.items()},
    }


def _protocol(beatgan: BeatganResult) -> Section:
    rankings = [fold.ranking for fold in beatgan.folds.folds]
    normal = count_range([ranking.normal_beats for ranking in rankings])
    abnormal = count_range([ranking.abnormal_beats for ranking in rankings])
    return Section(
        title="BeatGAN protocol",
        blocks=[
            "44 records of the MIT-BIH Arrhythmia Database, the beats of all patients mixed. "
            "Normal are N, L and R; five folds over them, a student for each. The test part has "
            f"{normal} normal and {abnormal} abnormal beats; a tenth of either is validation, on "
            "which everything was chosen. A student has seen no beat of its test part, but others "
            "of the same patients.",
            target_table(student_targets(beatgan)),
            fold_table(beatgan.folds),
            "The classes of EC57 and the annotations among the abnormal beats, each against all "
            "normal ones (N are the escape beats e and j, abnormal in this protocol):",
            kind_table(beatgan.folds),
        ],
    )


def _teacher_and_student(
    beatgan: BeatganResult, teacher: TeacherResult | None, *, ablation: bool
) -> Section:
    compared = (
        ["No teacher was measured."]
        if teacher is None
        else [
            "On the same fold, by the student's score rule unless said otherwise. Teachers are "
            f"generators of BeatGAN, {teacher.teachers} here, whose reconstructions are averaged; "
            "they do not ship.",
            _comparison(beatgan, teacher),
        ]
    )
    shown = (
        "[The ablation](ablation.md) compares students by what they learn to give and by teachers."
    )
    return Section(title="Teacher and student", blocks=[*compared, shown * ablation])


def _comparison(beatgan: BeatganResult, teacher: TeacherResult) -> Table:
    """Return teacher and student on the teacher's fold."""
    same = [fold.ranking for fold in beatgan.folds.folds if fold.fold == teacher.fold]
    auc, ap = (same[0].auc, same[0].ap) if same else (None, None)
    parameters = (f"{n:,}" for n in (teacher.parameters, beatgan.student.facts.parameters))
    theirs, ours = speed(teacher.us_per_beat), speed(beatgan.student.us_per_beat)
    return Table(
        columns=("", "teachers", "student"),
        rows=[
            (f"AUC, fold {teacher.fold}", number(teacher.ranking.auc), number(auc)),
            (f"AP, fold {teacher.fold}", number(teacher.ranking.ap), number(ap)),
            ("AUC, plain mean square", number(teacher.plain.auc), ""),
            ("AP, plain mean square", number(teacher.plain.ap), ""),
            ("parameters", *parameters),
            *((name, text, ours[name]) for name, text in theirs.items()),
        ],
    )


def _limits(folds: FoldsResult) -> Section:
    ranked = sorted(folds.auc_by_symbol.items(), key=lambda item: item[1].mean)
    weakest = ", ".join(f"{kind} (AUC {over.mean:.3f})" for kind, over in ranked[:_WEAKEST])
    return Section(
        title="What it cannot see",
        blocks=[
            Bullets(
                [
                    "**When a beat comes.** It sees a window, not its place in the rhythm. A "
                    "supraventricular beat that differs by its timing alone looks normal to it. "
                    f"Ranked worst are the annotations {weakest}.",
                    "**How large a beat is.** Each window is scaled by its own extremes.",
                    "**What is slow.** The band-pass takes away what is below 3 Hz, the level of "
                    "the ST segment with it.",
                    "**What is noise.** An artefact is not reconstructed either and scores high.",
                    "**New patients.** It does worse on them than these figures say; the "
                    "[live score](live_score.md) is there for that reason.",
                    ONE_DATABASE,
                ]
            )
        ],
    )
