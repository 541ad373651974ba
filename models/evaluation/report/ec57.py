"""Tables of the comparison of annotators, beat by beat and run by run."""

from collections.abc import Iterable, Sequence

from models.ec57.annotators import Score
from models.ec57.compare import AverageLine, GrossLine, Line, RecordLine
from models.ec57.sumstats import Average, Beats, Runs
from models.evaluation.report.documents import Section
from models.evaluation.report.tables import DASH, Table, leads_line, number


def ec57_sections(lines: Sequence[Line], *, names_classes: bool) -> list[Section]:
    """Return the table of beats and, if the test annotator names classes, that of runs.

    ``lines`` are those of a record each, the gross line and the average line.
    """
    records = [line for line in lines if isinstance(line, RecordLine)]
    (gross,) = (line for line in lines if isinstance(line, GrossLine))
    (average,) = (line for line in lines if isinstance(line, AverageLine))
    tables = [_beat_table(records, gross, average, names_classes=names_classes)]
    if names_classes:
        tables.append(_run_table(gross.runs))
    return [Section(blocks=tables)]


def _beat_table(
    records: Sequence[RecordLine], gross: GrossLine, average: AverageLine, *, names_classes: bool
) -> Table:
    def shares(beats: Beats[Score] | Beats[Average]) -> list[str]:
        return _shares((beats.qrs, beats.veb, beats.sveb) if names_classes else (beats.qrs,))

    def row(name: str, line: RecordLine | GrossLine, rr_error_ms: float | None) -> tuple[str, ...]:
        errors = (number(rr_error_ms, 2), number(line.rms_position_error_ms, 2))
        return name, *_counts(line.beats.qrs), *shares(line.beats), *errors

    rows = [row(line.record, line, line.rms_rr_error_ms) for line in records]
    rows.append(row("gross", gross, None))
    errors = (number(average.rms_rr_error_ms, 2), DASH)
    rows.append(("average", DASH, DASH, DASH, *shares(average.beats), *errors))
    leads = leads_line(gross.leads)
    names = ("Q", "V", "S") if names_classes else ("Q",)
    return Table(
        title=f"{records[0].test} against {records[0].reference}: Se and +P in %, errors in ms",
        columns=(
            *("record", "beats", "missed", "extra"),
            *(f"{name} {share}" for name in names for share in ("Se", "+P")),
            *("RR err", "R err"),
        ),
        rows=rows,
        totals=2,
        notes=[
            "RR err: RMS of RR intervals; R err: RMS of positions, mean offset removed",
            *([leads] if leads else []),
        ],
    )


def _run_table(runs: Runs[Score]) -> Table:
    lengths = (
        ("couplets", runs.couplets),
        ("3 to 5 beats", runs.short_runs),
        ("6 and more", runs.long_runs),
    )
    return Table(
        title="Ventricular runs, run by run",
        columns=("", "in reference", "in test", "Se %", "+P %"),
        rows=[
            (
                title,
                f"{score.tps + score.fn:,}",
                f"{score.tpp + score.fp:,}",
                *_shares([score]),
            )
            for title, score in lengths
        ],
    )


def _counts(score: Score) -> tuple[str, str, str]:
    """Return the beats of the reference, those missed, and the false detections."""
    return f"{score.tps + score.fn:,}", f"{score.fn:,}", f"{score.fp:,}"


def _shares(scores: Iterable[Score | Average]) -> list[str]:
    """Return sensitivity and positive predictivity of each score, %."""
    return [
        number(share, 2)
        for score in scores
        for share in (score.sensitivity, score.positive_predictivity)
    ]
