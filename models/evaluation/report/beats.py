"""Tables of the evaluation of each beat by name."""

from models.ec57.annotators import Score
from models.evaluation.protocols.beats import BeatsResult, DatabaseFigures, NamedFigures
from models.evaluation.protocols.healthy_beats import HealthyFigures
from models.evaluation.report.classifier import class_record_table, confusion_table
from models.evaluation.report.documents import Section
from models.evaluation.report.tables import Table, number, percent

_SHOWN = ("V", "S")


def beats_sections(result: BeatsResult) -> list[Section]:
    """Return a section for each database, and one of healthy people."""
    sections = [
        Section(
            title=f"{name}: {len(figures.records)} records, {figures.hours:.2f} h counted",
            blocks=[
                name_table(figures),
                alert_table(figures),
                reliability_table(figures),
                confusion_table(figures.named.classes.gross),
                class_record_table(figures.named.classes.per_record),
            ],
        )
        for name, figures in result.databases.items()
    ]
    if result.healthy is not None:
        sections.append(
            Section(
                title=f"Healthy people: {result.healthy.records} records of normal rhythm",
                blocks=[healthy_table(result.healthy)],
            )
        )
    return sections


def healthy_table(figures: HealthyFigures) -> Table:
    """Return what is called anomalous in healthy people."""
    return Table(
        title="Healthy people",
        columns=("", "measured"),
        rows=[
            ("beats flagged in the first ten seconds", percent(figures.flagged_first_10_s)),
            ("false alerts/h after them", number(figures.false_alerts_per_hour, 1)),
            ("hours after them", number(figures.hours, 2)),
        ],
    )


def reliability_table(figures: DatabaseFigures) -> Table:
    """Return how often a name is right, by the probability that it is given with."""
    return Table(
        title="How often a name is right",
        columns=("named", "probability", "right", "beats"),
        rows=[
            (kind, number(one.probability, 2), number(one.right, 2), f"{one.beats:,}")
            for kind, of in figures.reliability.items()
            for one in of
        ],
    )


def name_table(figures: DatabaseFigures) -> Table:
    """Return how beats and runs are named."""
    named = figures.named
    rows = [(kind, _of_class(named, kind)) for kind in _SHOWN]
    rows += [
        (f"{kind} without {apart}", _of_class(named, kind, apart))
        for apart in named.without
        for kind in _SHOWN
    ]
    rows += [
        ("couplets", _of_runs(named.runs.couplets)),
        ("runs of 3 to 5", _of_runs(named.runs.short_runs)),
        ("runs of 6 and more", _of_runs(named.runs.long_runs)),
    ]
    precision = ", ".join(
        f"{name} {number(value, 3)}" for name, value in figures.average_precision.items()
    )
    return Table(
        title="Sensitivity / positive predictivity, %",
        columns=("", "every beat that can be analysed"),
        rows=rows,
        notes=[f"Average precision: {precision}."],
    )


def alert_table(figures: DatabaseFigures) -> Table:
    """Return how the live score ranks beats, and what it raises."""
    apart = figures.alerts_without.items()
    columns = [("all", figures.alerts), *((f"without {name}", one) for name, one in apart)]
    shown = [one for _, one in columns]
    return Table(
        title="The live score",
        columns=("", *(name for name, _ in columns)),
        rows=[
            ("AUC", *(number(one.auc) for one in shown)),
            ("AP", *(number(one.ap) for one in shown)),
            *(
                (f"called anomalous: {kind}", *(percent(one.sensitivity[kind]) for one in shown))
                for kind in figures.alerts.sensitivity
            ),
            ("false alerts/h", *(number(one.false_alerts_per_hour, 1) for one in shown)),
            (
                "false alerts/h, first minute",
                *(number(one.false_alerts_per_hour_first_minute, 1) for one in shown),
            ),
        ],
    )


def _of_class(figures: NamedFigures, kind: str, apart: str | None = None) -> str:
    one = figures.classes.gross if apart is None else figures.without[apart]
    found, right = one.sensitivity[kind], one.positive_predictivity[kind]
    return f"{number(found, 1)} / {number(right, 1)}"


def _of_runs(score: Score) -> str:
    return f"{number(score.sensitivity, 1)} / {number(score.positive_predictivity, 1)}"
