"""The card of the classifier, and what is asked of it."""

from collections.abc import Mapping
from typing import Any

from models.evaluation.report.markdown import (
    HEAD,
    MITDB,
    ONE_DATABASE,
    Report,
    Target,
    bullets,
    facts,
    measured_on,
    number,
    page,
    percent,
    speed,
    table,
    targets,
)


def classifier_targets(unseen: Report) -> tuple[Target, ...]:
    """Return what is asked of the classifier on unseen patients; nothing where none ships."""
    if not unseen.get("classifier"):
        return ()
    gross = unseen["classifier"]["gross"]
    sensitivity, predictivity = gross["sensitivity"], gross["positive_predictivity"]
    return (
        Target("classifier: sensitivity to V, %", sensitivity["V"], 92, digits=2),
        Target("classifier: positive predictivity of V, %", predictivity["V"], 90, digits=2),
        Target("classifier: sensitivity to S, %", sensitivity["S"], 75, digits=2),
        Target("classifier: positive predictivity of S, %", predictivity["S"], 55, digits=2),
    )


def classifier_page(reports: Mapping[str, Any]) -> str:
    """Return the card of the classifier as Markdown."""
    unseen, optimisers = reports["interpatient"], reports.get("classifier_optimisers")
    classifier = unseen.get("classifier")
    if not classifier:
        return page("# The classifier", HEAD, "No classifier ships yet.")
    return page(
        "# The classifier",
        HEAD,
        "The second stage: a one-dimensional ResNeXt that names the class of a beat which the "
        "[live score](live_score.md) calls anomalous, with probabilities of N, S, V and F. Input: "
        "the window of 320 samples and the rhythm around the beat "
        "(`pipeline/scoring/rr_context.py`). Trained on the patients of DS1 with a focal loss.",
        "## Size, speed, training",
        facts(
            {
                "parameters": f"{classifier['parameters']:,}",
                "file, bytes": f"{classifier['file_bytes']:,}",
                **classifier["training"],
                **speed(classifier["us_per_beat"]),
            }
        ),
        "## Unseen patients",
        "The records of DS2 through the streaming front end, detector in the loop. Every detection "
        "that can be analysed is classified, whatever the live score says of it. Nothing was "
        "trained on them, and what the classifier is told was chosen by patients of DS1; but they "
        "had been measured before, with other choices: not a blind figure. How beats count:",
        bullets(*classifier["counting"]),
        targets(classifier_targets(unseen)),
        "De Chazal, O'Dwyer and Reilly (2004) report, with the beats marked by hand: V sensitivity "
        "77.7 %, positive predictivity 81.9 %; S 75.9 % and 38.5 %.",
        "What the beats of each class were called (- is a false detection; none: not detected, or "
        "not analysable):",
        _confusion(classifier["gross"]),
        "## Records",
        _records(classifier),
        *(("## Optimisers", _optimisers(optimisers)) if optimisers else ()),
        "## What it cannot see",
        bullets(
            "**The beat after.** The alert leaves half a second after the R peak; a compensatory "
            "pause comes too late for it.",
            f"**Fusion beats.** {_named(classifier, 'F', 'F')} of them get their name; "
            f"{_named(classifier, 'F', 'N')} are called N, {_named(classifier, 'F', 'V')} V.",
            "**Paced beats** and whatever else is class Q: it has no name for them.",
            "**What the live score lets pass.** Live, only anomalous beats are classified.",
            ONE_DATABASE,
        ),
        "## Sources",
        bullets(
            "Xie, Girshick, Dollár, Tu, He: Aggregated Residual Transformations for Deep Neural "
            "Networks. CVPR 2017.",
            "Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection. ICCV 2017.",
            "Luo, Xiong, Liu, Sun: Adaptive Gradient Methods with Dynamic Bound of Learning Rate. "
            "ICLR 2019.",
            "de Chazal, O'Dwyer, Reilly: Automatic Classification of Heartbeats Using ECG "
            "Morphology and Heartbeat Interval Features. IEEE Trans. Biomed. Eng. 51, 2004.",
            MITDB,
        ),
        "## Measured on",
        measured_on({"classifier": unseen}),
    )


def _confusion(gross: Report) -> str:
    names = list(gross["confusion"]["N"])
    rows = [
        (kind, *(f"{row[name]:,}" for name in names)) for kind, row in gross["confusion"].items()
    ]
    return table(("class", *(f"named {name}" for name in names)), rows)


def _records(classifier: Report) -> str:
    rows = []
    for one in classifier["per_record"]:
        beats = {kind: sum(one["confusion"][kind].values()) for kind in ("V", "S")}
        cells = [
            text
            for kind in ("V", "S")
            for text in (
                f"{beats[kind]:,}",
                number(one["sensitivity"][kind], 1),
                number(one["positive_predictivity"][kind], 1),
            )
        ]
        rows.append((one["record"], *cells))
    return table(("record", "V", "Se V, %", "+P V, %", "S", "Se S, %", "+P S, %"), rows)


def _optimisers(optimisers: Report) -> str:
    """Return each cross-validation on DS1's patients in a row."""
    names = ("optimiser", "learning_rate", "epochs", "batch", "seed")
    rows = []
    for run in optimisers["runs"]:
        gross = run["gross"]
        cells = [
            number(gross[figure][kind], 1)
            for kind in ("V", "S")
            for figure in ("sensitivity", "positive_predictivity")
        ]
        rows.append((*(str(run[name]) for name in names), *cells))
    header = (*(name.replace("_", " ") for name in names), "Se V, %", "+P V, %")
    return (
        "Cross-validation within DS1, each patient judged by a classifier that has not seen it:"
        "\n\n" + table((*header, "Se S, %", "+P S, %"), rows)
    )


def _named(classifier: Report, kind: str, name: str) -> str:
    """Return the share of a class's beats that got a name."""
    row = classifier["gross"]["confusion"][kind]
    beats = sum(row.values())
    return percent(row[name] / beats if beats else None)
