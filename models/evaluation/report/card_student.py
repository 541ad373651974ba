"""The card of the student, and what is asked of it."""

from collections.abc import Mapping
from typing import Any, Final

from models.evaluation.report.markdown import (
    HEAD,
    MITDB,
    ONE_DATABASE,
    Report,
    Target,
    bullets,
    measured_on,
    number,
    page,
    plain,
    protocol_pictures,
    speed,
    table,
    targets,
)

PUBLISHED: Final = (
    ("BeatGAN, as published", 0.9447, 0.9108),
    ("BeatGAN with time warping, as published", 0.9475, 0.9143),
    ("BeatGAN, run again by those who distilled it", 0.9380, 0.9040),
    ('distilled ("self-improving") BeatGAN', 0.9474, 0.9148),
)
"""AUC and AP that others have reported for this protocol."""

_WEAKEST: Final = 3


def student_targets(beatgan: Report) -> tuple[Target, ...]:
    """Return what is asked of the fold students."""
    student = beatgan["student"]
    return (
        Target("BeatGAN protocol: AUC, mean of the folds", beatgan["auc"]["mean"], 0.975, digits=4),
        Target("BeatGAN protocol: AP, mean of the folds", beatgan["ap"]["mean"], 0.955, digits=4),
        Target("student: parameters", student["parameters"], 110_000, at_most=True, digits=0),
        Target("student: file, MB", student["file_bytes"] / 1e6, 0.5, at_most=True, digits=2),
    )


def student_page(reports: Mapping[str, Any]) -> str:
    """Return the card of the student as Markdown."""
    beatgan, teacher = reports["beatgan"], reports.get("teacher")
    normal, abnormal = (
        _span([fold[f"{kind}_beats"] for fold in beatgan["folds"]])
        for kind in ("normal", "abnormal")
    )
    return page(
        "# The student",
        HEAD,
        "An autoencoder in the layout of BeatGAN's generator, narrower, with a smaller "
        f"bottleneck. It was trained to reconstruct normal beats, {_taught(reports)}; the score of "
        "a beat is the mean square of what it cannot reconstruct, after a moving average. Input: "
        "one lead at 360 Hz, 3 to 45 Hz, a window of 320 samples from 140 before the R peak on, "
        "scaled to [-1, 1].",
        "The student that scores live was trained on the patients of DS1 alone. Those in "
        "`models/weights/folds` were trained on the folds of the BeatGAN protocol; they are there "
        "for its figures and score nothing else.",
        "## Size, speed, training",
        _students(reports),
        "## BeatGAN protocol",
        "44 records of the MIT-BIH Arrhythmia Database, the beats of all patients mixed. Normal "
        "are N, L and R; five folds over them, a student for each. The test part has "
        f"{normal} normal and {abnormal} abnormal beats; a tenth of either is validation, on "
        "which everything was chosen. A student has seen no beat of its test part, but others of "
        "the same patients.",
        targets(student_targets(beatgan)),
        _folds(beatgan),
        "The classes of EC57 and the annotations among the abnormal beats, each against all "
        "normal ones (N are the escape beats e and j, abnormal in this protocol):",
        _kinds(beatgan),
        "## Teacher and student",
        _comparison(beatgan, teacher),
        "[The ablation](ablation.md) compares students trained with and without a teacher."
        if reports["ablation"]
        else "",
        "## Pictures",
        protocol_pictures("beatgan"),
        "## What it cannot see",
        bullets(
            "**When a beat comes.** It sees a window, not its place in the rhythm. A "
            "supraventricular beat that differs by its timing alone looks normal to it. Ranked "
            f"worst are the annotations {_weakest(beatgan)}.",
            "**How large a beat is.** Each window is scaled by its own extremes.",
            "**What is slow.** The band-pass takes away what is below 3 Hz, the level of the ST "
            "segment with it.",
            "**What is noise.** An artefact is not reconstructed either and scores high.",
            "**New patients.** It does worse on them than these figures say; the "
            "[live score](live_score.md) is there for that reason.",
            ONE_DATABASE,
        ),
        "## Sources",
        bullets(
            "Zhou, Liu, Hooi, Cheng, Ye: BeatGAN: Anomalous Rhythm Detection using Adversarially "
            "Generated Time Series. IJCAI 2019.",
            MITDB,
        ),
        "## Measured on",
        measured_on({"students": beatgan} | ({"teacher": teacher} if teacher else {})),
    )


def _taught(reports: Mapping[str, Any]) -> str:
    """Say who taught the students, as their artifacts have it."""
    trainings = [reports[name]["student"]["training"] for name in ("interpatient", "beatgan")]
    methods = sorted({training.get("method", "unknown") for training in trainings})
    return "without a teacher" if methods == ["none"] else f"by the method {', '.join(methods)}"


def _students(reports: Mapping[str, Any]) -> str:
    """Return one column for the student that scores live, one for those of the folds."""
    live, fold = reports["interpatient"]["student"], reports["beatgan"]["student"]
    columns = []
    for student in (live, fold):
        first, end = student["scored_ticks"]
        columns.append(
            {
                "parameters": f"{student['parameters']:,}",
                "file, bytes": f"{student['file_bytes']:,}",
                "width, latent": f"{student['width']}, {student['latent']}",
                "moving average, ticks": str(student["smoothing_ticks"]),
                "scored ticks": f"{first} to {end - 1}",
                **{key.replace("_", " "): plain(v) for key, v in student["training"].items()},
            }
        )
    names = dict.fromkeys([*columns[0], *columns[1]])
    rows = [(name, *(column.get(name, "–") for column in columns)) for name in names]
    rows += [(name, text, text) for name, text in speed(fold["us_per_beat"]).items()]
    return table(("", "live", f"fold {reports['beatgan']['folds'][0]['fold']}"), rows)


def _folds(beatgan: Report) -> str:
    rows = [
        (f"fold {fold['fold']}", number(fold["auc"]), number(fold["ap"]))
        for fold in beatgan["folds"]
    ]
    for name in ("mean", "sd", "min", "max"):
        rows.append((name, number(beatgan["auc"][name]), number(beatgan["ap"][name])))
    rows += [(f"{name} *", number(auc), number(ap)) for name, auc, ap in PUBLISHED]
    return table(("", "AUC", "AP"), rows) + "\n\n\\* as others report it"


def _kinds(beatgan: Report) -> str:
    rows = []
    for what in ("class", "symbol"):
        for kind, over in beatgan[f"auc_by_{what}"].items():
            beats = _span([f[f"beats_by_{what}"].get(kind, 0) for f in beatgan["folds"]])
            spread = f"{number(over['min'])} to {number(over['max'])}"
            name = f"class {kind}" if what == "class" else f"annotation {kind}"
            rows.append((name, beats, number(over["mean"]), spread))
    return table(("", "beats", "AUC, mean", "over the folds"), rows)


def _comparison(beatgan: Report, teacher: Report | None) -> str:
    """Return teacher and student on the teacher's fold, both by the student's score rule."""
    if teacher is None:
        return "No teacher was measured."
    same = [fold for fold in beatgan["folds"] if fold["fold"] == teacher["fold"]]
    student = same[0] if same else {}
    rows = [
        (f"AUC, fold {teacher['fold']}", number(teacher["auc"]), number(student.get("auc"))),
        (f"AP, fold {teacher['fold']}", number(teacher["ap"]), number(student.get("ap"))),
        ("AUC, plain mean square", number(teacher["plain"]["auc"]), ""),
        ("AP, plain mean square", number(teacher["plain"]["ap"]), ""),
    ]
    ours = beatgan["student"]
    rows.append(("parameters", f"{teacher['parameters']:,}", f"{ours['parameters']:,}"))
    theirs, mine = speed(teacher["us_per_beat"]), speed(ours["us_per_beat"])
    rows += [(name, text, mine[name]) for name, text in theirs.items()]
    return (
        "On the same fold, by the student's score rule unless said otherwise. The teacher is "
        "BeatGAN's generator; it does not ship.\n\n" + table(("", "teacher", "student"), rows)
    )


def _weakest(beatgan: Report) -> str:
    ranked = sorted(beatgan["auc_by_symbol"].items(), key=lambda item: item[1]["mean"])
    return ", ".join(f"{kind} (AUC {over['mean']:.3f})" for kind, over in ranked[:_WEAKEST])


def _span(counts: list[int]) -> str:
    """Return a count, or the least and the greatest of several."""
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
