"""`monitor evaluate`: run a protocol, show the progress on stderr, say what came out on stdout."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from monitor.inputs import data_folder
from monitor.text import safe_text
from pipeline.errors import ConfigError, InputError

WIDTH: Final = 100
"""The tables fit a terminal this wide."""


def evaluate_beatgan(
    data: Path | None, student: Path | None, *, pictures: Path | None, as_json: bool
) -> None:
    """Print the published protocol's figures of the five fold students, or of one student.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: a student is unusable for this protocol.
        ConfigError: pictures cannot be drawn here.
    """
    from models.evaluation.protocols.beatgan import FOLD_STUDENTS, evaluate_beatgan

    students = FOLD_STUDENTS if student is None else (student,)
    with progress_of(1 + len(students) + (pictures is not None)) as on_step:
        figures = evaluate_beatgan(data_folder(data), students, pictures=pictures, on_step=on_step)
    tell(figures, beatgan_tables, as_json=as_json)


def evaluate_interpatient(
    data: Path | None,
    student: Path | None,
    *,
    false_alerts_per_hour: float | None,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Print what the whole stream says of patients it has never seen.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the student or its calibration is unusable for this protocol.
        ConfigError: the rate of false alerts was not calibrated, or pictures cannot be drawn here.
    """
    from models.data.mitdb import DS2
    from models.evaluation.protocols.interpatient import evaluate_interpatient
    from models.files.classifier import SHIPPED_CLASSIFIER
    from models.files.student import SHIPPED_STUDENT

    passes = 1 + SHIPPED_CLASSIFIER.is_file()
    with progress_of(passes * len(DS2) + (pictures is not None)) as on_step:
        figures = evaluate_interpatient(
            data_folder(data),
            student or SHIPPED_STUDENT,
            false_alerts_per_hour=false_alerts_per_hour,
            pictures=pictures,
            on_step=on_step,
        )
    tell(figures, interpatient_tables, as_json=as_json)


def evaluate_ec57(
    data: Path,
    reference: str,
    test: str | None,
    *,
    detector: bool,
    records: str | None,
    annotations: Path | None,
    as_json: bool,
) -> None:
    """Print how an annotator, or the detector, compares with the reference.

    Raises:
        InputError: records or annotations are missing or unreadable, or the folder for
            annotations is none.
        ConfigError: not exactly one of an annotator and the detector is to be compared.
    """
    from models.ec57.compare import choose_records, compare_records

    if (test is not None) == detector:
        raise ConfigError("compare an annotator or the detector: --test EXT or --against detector")
    if annotations is not None and not detector:
        raise ConfigError("--annotations holds what the detector found: add --against detector")
    if annotations is not None and not annotations.is_dir():
        raise InputError(f"no folder {str(annotations)!r} to write annotations into: create it")
    names = None if records is None else [name for name in records.split(",") if name]
    chosen = choose_records(data, reference, test, names)
    lines = []
    with progress_of(len(chosen)) as on_step:
        for line in compare_records(
            chosen, reference, test, annotations=annotations, on_step=on_step
        ):
            if as_json:
                sys.stdout.write(json.dumps(line, allow_nan=False) + "\n")
                sys.stdout.flush()
            lines.append(line)
    if not as_json:
        tell({"lines": lines, "names_classes": not detector}, ec57_tables, as_json=False)


def write_cards(data: Path | None, teacher: Path | None, folder: Path) -> None:
    """Run both protocols, write the model cards into ``folder``, and print their files.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: something that ships is unusable, or the teacher is.
        ConfigError: pictures cannot be drawn here, or the folder cannot be written.
    """
    from models.data.annotated_beats import FOLDS
    from models.data.mitdb import DS2
    from models.evaluation.report.cards import write_cards, write_reports
    from models.files.classifier import SHIPPED_CLASSIFIER

    passes = 1 + SHIPPED_CLASSIFIER.is_file()
    steps = (teacher is not None) + (1 + FOLDS + 1) + (passes * len(DS2) + 1)
    with progress_of(steps) as on_step:
        write_reports(data_folder(data), folder, teacher=teacher, on_step=on_step)
    for file in write_cards(folder):
        sys.stdout.write(f"{file}\n")


def tell(
    figures: dict[str, Any], tables: Callable[[dict[str, Any]], Iterator[Table]], *, as_json: bool
) -> None:
    """Print figures as one JSON object, or as their tables."""
    if as_json:
        sys.stdout.write(json.dumps(figures, allow_nan=False) + "\n")
        return
    console = Console(width=WIDTH, markup=False)  # names of files are in it
    for table in tables(figures):
        console.print(table)


@contextmanager
def progress_of(total: int) -> Iterator[Callable[[str], None]]:
    """Yield a function that is told each step when it begins; shows itself on a terminal only."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("", total=total)
        begun = 0

        def on_step(text: str) -> None:
            nonlocal begun
            progress.update(task, completed=begun, description=safe_text(text))
            begun += 1

        yield on_step


def new_table(title: str, *columns: str) -> Table:
    """Return an empty table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left")
    return table


def as_text(value: float | None, digits: int = 4) -> str:
    """Return a number with so many digits, or a dash for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def beatgan_tables(figures: dict[str, Any]) -> Iterator[Table]:
    """Return one table: a row a figure, a column a fold, then mean and standard deviation."""
    folds = figures["folds"]
    table = new_table(
        f"BeatGAN protocol, {figures['database']}: test beats, abnormal against normal",
        *("", *(f"fold {fold['fold']}" for fold in folds), "mean", "sd", "beats"),
    )

    def add(name: str, values: Sequence[float | None], over: Mapping[str, float], n: int) -> None:
        table.add_row(name, *map(as_text, [*values, over["mean"], over["sd"]]), f"{n:,}")

    for name in ("auc", "ap"):
        n = folds[0]["abnormal_beats"]
        add(name.upper(), [fold[name] for fold in folds], figures[name], n)
    for what in ("class", "symbol"):
        table.add_section()
        for kind, over in figures[f"auc_by_{what}"].items():
            values = [fold[f"auc_by_{what}"].get(kind) for fold in folds]
            n = folds[0][f"beats_by_{what}"].get(kind, 0)
            add(f"AUC of {what} {kind}", values, over, n)
    yield table


def interpatient_tables(figures: dict[str, Any]) -> Iterator[Table]:
    """Return three tables: gross figures, those of each class, those of each record."""
    (apart, without), *_ = figures["without"].items()
    scored = figures["scored"]
    ranking = new_table(
        f"Unseen patients, {len(figures['records'])} records, {figures['hours']:.2f} h: "
        f"{figures['false_alerts_per_hour']:.1f} false alerts an hour",
        *("", "all records", f"without {apart}", "scored beats", f"scored, without {apart}"),
    )
    columns = (figures, without, scored, scored["without"][apart])
    for name in ("auc", "ap"):
        ranking.add_row(name.upper(), *(as_text(column[name]) for column in columns))
    for kind in figures["auc_by_class"]:
        by_class = (as_text(column["auc_by_class"][kind]) for column in columns)
        ranking.add_row(f"AUC of {kind} against N", *by_class)
    yield ranking

    head = ("class", "beats", "alerts", "not detected", "not analysable")
    classes = new_table("Alerts at the threshold", *head)
    alerts = figures["sensitivity"]
    for kind, beats in figures["beats"].items():
        missed, blind = figures["missed"][kind], figures["not_analysable"][kind]
        cells = (f"{beats:,}", _percent(alerts.get(kind)), f"{missed:,}", f"{blind:,}")
        classes.add_row(kind, *cells)
    classes.add_row(
        "false detections",
        f"{figures['false_detections']:,}",
        *("-", "-", f"{figures['not_analysable']['-']:,}"),
    )
    yield classes

    names = ("record", "beats", "AUC", "AP", "Se S", "Se V", "Se F", "missed", "blind", "extra")
    records = new_table("Records: sensitivity in %, beats, false alerts an hour", *names, "false/h")
    records.caption = "missed: not detected; blind: not analysable; extra: false detections"
    for one in figures["per_record"]:
        shares = (one["sensitivity"][kind] for kind in ("S", "V", "F"))
        records.add_row(
            one["record"],
            f"{sum(one['beats'].values()):,}",
            *(as_text(one["auc"]), as_text(one["ap"])),
            *(as_text(share and 100 * share, 1) for share in shares),
            str(sum(one["missed"].values())),
            str(sum(one["not_analysable"][kind] for kind in one["beats"])),
            str(one["false_detections"]),
            f"{one['false_alerts_per_hour']:.1f}",
        )
    yield records
    if figures.get("classifier"):
        yield _classes_table(figures["classifier"])


def _classes_table(classifier: Mapping[str, Any]) -> Table:
    """Return a row for each true class: which name its beats got, and how S and V come out."""
    gross = classifier["gross"]
    names = list(gross["confusion"]["N"])
    columns = ("class", *(f"named {name}" for name in names), "Se %", "+P %")
    table = new_table("The classifier on all detections, by EC57 counting", *columns)
    for kind, row in gross["confusion"].items():
        table.add_row(
            kind,
            *(f"{row[name]:,}" for name in names),
            as_text(gross["sensitivity"].get(kind), 1),
            as_text(gross["positive_predictivity"].get(kind), 1),
        )
    return table


def ec57_tables(figures: dict[str, Any]) -> Iterator[Table]:
    """Return a table of beats, a row a record, and one of ventricular runs if there are classes."""
    *records, gross, average = figures["lines"]
    kinds = {"qrs": "Q", "veb": "V", "sveb": "S"} if figures["names_classes"] else {"qrs": "Q"}
    names = ("record", "beats", "missed", "extra")
    shares = (f"{kind} {what}" for kind in kinds.values() for what in ("Se", "+P"))
    beats = new_table(
        f"{records[0]['test']} against {records[0]['reference']}: Se and +P in %, errors in ms",
        *(*names, *shares, "RR err", "R err"),
    )
    beats.caption = "RR err: RMS of RR intervals; R err: RMS of positions, mean offset removed"
    for line in (*records, gross):
        if line is gross:
            beats.add_section()
        qrs = line["qrs"]
        beats.add_row(
            safe_text(line.get("record", "gross")),
            *(f"{n:,}" for n in (qrs["tps"] + qrs["fn"], qrs["fn"], qrs["fp"])),
            *_shares(line, kinds),
            as_text(line.get("rms_rr_error_ms"), 2),
            as_text(line["rms_position_error_ms"], 2),
        )
    errors = (as_text(average["rms_rr_error_ms"], 2), "-")
    beats.add_row("average", "-", "-", "-", *_shares(average, kinds), *errors)
    yield beats
    if figures["names_classes"]:
        yield _runs_table(gross)


def _runs_table(gross: Mapping[str, Any]) -> Table:
    """Return a row for each length of ventricular runs."""
    table = new_table("Ventricular runs, run by run", "", "in reference", "in test", "Se %", "+P %")
    lengths = {"couplets": "couplets", "short_runs": "3 to 5 beats", "long_runs": "6 and more"}
    for name, title in lengths.items():
        score = gross[name]
        counts = (score["tps"] + score["fn"], score["tpp"] + score["fp"])
        table.add_row(title, *(f"{n:,}" for n in counts), *_shares(gross, (name,)))
    return table


def _shares(line: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Yield sensitivity and positive predictivity of each kind, %."""
    for name in names:
        for share in ("sensitivity", "positive_predictivity"):
            yield as_text(line[name][share], 2)
