"""Tables of the evaluation of each beat by name."""

from collections.abc import Mapping
from typing import Final

from models.ec57.annotators import Score
from models.evaluation.protocols.beats import BeatsResult, DatabaseFigures
from models.evaluation.protocols.classifier import ClassFigures
from models.evaluation.protocols.healthy_beats import HealthyFigures
from models.evaluation.protocols.interpatient import APART
from models.evaluation.report.classifier import class_record_table, confusion_table
from models.evaluation.report.documents import Section
from models.evaluation.report.tables import DASH, Table, leads_line, number, percent

_SHOWN: Final = ("V", "S")
_PARTS: Final = {
    "network": "network alone",
    "trees": "trees alone",
    "joined": "both joined",
}
_CLASSIFIER: Final = "classifier: both, no S in atrial fibrillation"


def beats_sections(result: BeatsResult) -> list[Section]:
    """Return a section for each database, in one lead and in all, and one of healthy people."""
    sections = [_section(name, figures) for name, figures in result.databases.items()]
    for name, figures in result.all_leads.items():
        sections.append(_section(f"{name}, all leads", figures))
    if result.all_leads:
        sections.append(Section(title="One lead and all", blocks=[lead_table(result)]))
    if result.healthy is not None:
        sections.append(
            Section(
                title=f"Healthy people: {result.healthy.records} records of normal rhythm",
                blocks=[healthy_table(result.healthy)],
            )
        )
    return sections


def _section(name: str, figures: DatabaseFigures) -> Section:
    return Section(
        title=f"{name}: {len(figures.records)} records, {figures.hours:.2f} h counted",
        blocks=[
            leads_line(figures.leads),
            name_table(figures),
            *([part_table({name: figures})] if figures.parts else []),
            alert_table(figures),
            reliability_table({name: figures}),
            confusion_table(figures.named.classes.gross),
            class_record_table(figures.named.classes.per_record),
        ],
    )


def lead_table(result: BeatsResult) -> Table:
    """Return how beats are named in one lead and in all leads, side by side."""
    rows = []
    for name, every in result.all_leads.items():
        for leads, one in (("one", result.databases[name]), ("all", every)):
            gross, couplets = one.named.classes.gross, one.named.runs.couplets
            without = one.named.without.get(APART)
            rows.append(
                (
                    name,
                    leads,
                    *(_of_class(gross, kind) for kind in _SHOWN),
                    DASH if without is None else _of_class(without, "S"),
                    *(number(one.average_precision[kind], 3) for kind in _SHOWN),
                    _of_runs(couplets),
                    f"{number(one.alerts.auc, 3)} / {number(one.alerts.ap, 3)}",
                    number(one.alerts.false_alerts_per_hour, 1),
                )
            )
    return Table(
        title="One lead and all: sensitivity / positive predictivity, %",
        columns=(
            *("", "leads", "V", "S", f"S without {APART}", "AP of V", "AP of S", "couplets"),
            *("live score AUC / AP", "false alerts/h"),
        ),
        text_columns=2,
        rows=rows,
    )


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


def reliability_table(databases: Mapping[str, DatabaseFigures]) -> Table:
    """Return how often a name is right, by the probability that it is given with."""
    return Table(
        title="How often a name is right",
        columns=("", "named", "probability", "right", "beats"),
        text_columns=2,
        rows=[
            (name, kind, number(one.probability, 2), number(one.right, 2), f"{one.beats:,}")
            for name, figures in databases.items()
            for kind, of in figures.reliability.items()
            for one in of
        ],
    )


def part_table(databases: Mapping[str, DatabaseFigures]) -> Table:
    """Return network and trees, each alone and joined, beside the classifier."""
    rows = []
    for name, figures in databases.items():
        named = figures.named
        parts = [
            (_PARTS[part], one.classes, one.without, one.couplets, one.average_precision)
            for part, one in figures.parts.items()
        ]
        gross, couplets = named.classes.gross, named.runs.couplets
        parts.append((_CLASSIFIER, gross, named.without, couplets, figures.average_precision))
        rows += [
            (
                name,
                title,
                *(_of_class(classes, kind) for kind in _SHOWN),
                _of_class(without[APART], "S") if APART in without else DASH,
                *(number(precision[kind], 3) for kind in _SHOWN),
                _of_runs(pairs),
            )
            for title, classes, without, pairs, precision in parts
        ]
    return Table(
        title="Parts of the classifier: sensitivity / positive predictivity, %",
        columns=("", "", "V", "S", f"S without {APART}", "AP of V", "AP of S", "couplets"),
        text_columns=2,
        rows=rows,
    )


def name_table(figures: DatabaseFigures) -> Table:
    """Return how beats and runs are named."""
    named = figures.named
    rows = [(kind, _of_class(named.classes.gross, kind)) for kind in _SHOWN]
    rows += [
        (f"{kind} without {apart}", _of_class(one, kind))
        for apart, one in named.without.items()
        for kind in _SHOWN
    ]
    rows += [
        ("couplets", _of_runs(named.runs.couplets)),
        ("runs of 3 to 5", _of_runs(named.runs.short_runs)),
        ("runs of 6 and more", _of_runs(named.runs.long_runs)),
    ]
    precision = {"Average precision": figures.average_precision}
    for apart, one in figures.average_precision_without.items():
        precision[f"Average precision without {apart}"] = one
    return Table(
        title="Sensitivity / positive predictivity, %",
        columns=("", "every beat that can be analysed"),
        rows=rows,
        notes=[
            f"{title}: "
            + ", ".join(f"{name} {number(value, 3)}" for name, value in of.items())
            + "."
            for title, of in precision.items()
        ],
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


def _of_class(figures: ClassFigures, kind: str) -> str:
    found, right = figures.sensitivity[kind], figures.positive_predictivity[kind]
    return f"{number(found, 1)} / {number(right, 1)}"


def _of_runs(score: Score) -> str:
    return f"{number(score.sensitivity, 1)} / {number(score.positive_predictivity, 1)}"
