"""Tables of the classifier."""

from collections.abc import Sequence
from typing import Final

from models.evaluation.protocols.classifier import (
    ClassFigures,
    ClassifierResult,
    RecordClassFigures,
)
from models.evaluation.report.tables import Table, Target, number

_SHOWN: Final = ("V", "S")


def classifier_targets(classifier: ClassifierResult) -> list[Target]:
    """Return what is asked of the classifier on unseen patients."""
    gross = classifier.classes.gross
    sensitivity, predictivity = gross.sensitivity, gross.positive_predictivity
    return [
        Target("classifier: sensitivity to V, %", sensitivity["V"], 94, digits=2),
        Target("classifier: positive predictivity of V, %", predictivity["V"], 94, digits=2),
        Target("classifier: sensitivity to S, %", sensitivity["S"], 72, digits=2),
        Target("classifier: positive predictivity of S, %", predictivity["S"], 66, digits=2),
    ]


def confusion_table(figures: ClassFigures) -> Table:
    """Return a row for each true class: how many of its beats got which name."""
    names = list(figures.confusion["N"])
    return Table(
        title="The classifier on all detections, by EC57 counting",
        columns=("class", *(f"named {name}" for name in names)),
        rows=[
            (kind, *(f"{row[name]:,}" for name in names)) for kind, row in figures.confusion.items()
        ],
    )


def class_record_table(records: Sequence[RecordClassFigures]) -> Table:
    """Return a row for each record: sensitivity and positive predictivity of V and S."""
    return Table(
        title="The classifier, record by record",
        columns=("record", "V", "Se V, %", "+P V, %", "S", "Se S, %", "+P S, %"),
        rows=[
            (
                one.record,
                *(
                    cell
                    for kind in _SHOWN
                    for cell in (
                        f"{sum(one.figures.confusion[kind].values()):,}",
                        *_shares(one.figures, kind),
                    )
                ),
            )
            for one in records
        ],
    )


def _shares(figures: ClassFigures, kind: str) -> tuple[str, str]:
    """Return sensitivity and positive predictivity of a class."""
    return (
        number(figures.sensitivity[kind], 1),
        number(figures.positive_predictivity[kind], 1),
    )
