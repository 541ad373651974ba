"""Parse ``monitor evaluate``; the modules of `monitor.measure` do the work."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import Cache, Data, FalseAlerts, Folder, Student

evaluate_app = typer.Typer(
    help="Measure what ships by stated protocols, and write its cards. `interpatient`, `beats`, "
    "`ec57`, `noise` and `alarms` take `--lead NAME[,NAME]|all`."
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Pictures = Annotated[
    Optional[Path],  # noqa: UP045  (typer reads annotations at run time)
    typer.Option(help="Draw ROC, precision-recall, histograms and worst beats into this folder."),
]
Teachers = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--teacher", help="best.safetensors of a teacher, to measure it as well; repeatable."
    ),
]


Report = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Write the table into this document, between its two comments."),
]
Databases = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        help="Folder with nstdb/ and mitdb/ (leads: or svdb/); $MONITOR_DATA, ./data or "
        "../shared/data, by default."
    ),
]
Leads = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--lead",
        metavar="NAME[,NAME]|all",
        help="Watch these leads together: names or numbers with commas, or `all` that are ECG, at "
        "most three. Records without them are left out.",
    ),
]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


class Against(StrEnum):
    """What to compare with the reference, besides an annotation file."""

    detector = "detector"


@evaluate_app.command("beatgan")
def evaluate_beatgan(
    data: Data = None,
    student: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A student.json of one fold; the five that ship by default."),
    ] = None,
    pictures: Pictures = None,
    as_json: Json = False,
) -> None:
    """Score the fold students by the BeatGAN protocol."""
    from monitor.measure import evaluate as evaluation

    evaluation.evaluate_beatgan(data, student, pictures=pictures, as_json=as_json)


@evaluate_app.command("interpatient")
def evaluate_interpatient(
    data: Data = None,
    student: Student = None,
    false_alerts_per_hour: FalseAlerts = None,
    lead: Leads = None,
    pictures: Pictures = None,
    as_json: Json = False,
) -> None:
    """Run the stream over the unseen patients of DS2.

    Without --lead it watches the lead that is usual for rhythm.
    """
    from monitor.measure import evaluate as evaluation

    evaluation.evaluate_interpatient(
        data,
        student,
        false_alerts_per_hour=false_alerts_per_hour,
        leads=lead,
        pictures=pictures,
        as_json=as_json,
    )


@evaluate_app.command("beats")
def evaluate_beats(
    data: Data = None,
    folder: Folder = Path("runs/beats"),
    lead: Leads = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Name each beat by classifiers that have not seen the patient.

    Without --lead in the lead that is usual for rhythm, and beside it in all that are ECG, at most
    three. Classifiers that the folder lacks are trained.
    """
    from monitor.measure import evaluate as evaluation

    evaluation.evaluate_beats(data, folder=folder, leads=lead, cache=cache, as_json=as_json)


@evaluate_app.command("cards")
def write_cards(
    data: Data = None,
    teachers: Teachers = None,
    out: Annotated[Path, typer.Option(help="Folder for the cards.")] = Path("docs/models"),
) -> None:
    """Run both protocols and write the model cards."""
    from monitor.measure import evaluate as evaluation

    evaluation.write_cards(data, tuple(teachers or ()), out)


@evaluate_app.command("ec57")
def evaluate_ec57(
    data: Annotated[Path, typer.Option(help="Folder of WFDB records.")],
    reference: Annotated[str, typer.Option(help="Annotator of the reference.")] = "atr",
    test: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Annotator to compare with the reference."),
    ] = None,
    against: Annotated[
        Optional[Against],  # noqa: UP045
        typer.Option(help="Compare our own detector."),
    ] = None,
    records: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Records, separated by commas; by default all that have the annotators."),
    ] = None,
    lead: Leads = None,
    annotations: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the detector's annotations into this folder, as RECORD.det."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: records, gross, average.")
    ] = False,
) -> None:
    """Compare annotators beat by beat and run by run, as bxb and rxr do.

    Without --lead the detector runs on the first lead.
    """
    from monitor.measure import evaluate as evaluation

    evaluation.evaluate_ec57(
        data,
        reference,
        test,
        detector=against is not None,
        records=records,
        leads=lead,
        annotations=annotations,
        as_json=as_json,
    )


@evaluate_app.command("noise")
def evaluate_noise(
    data: Databases = None,
    pictures: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Draw the figures over the signal-to-noise ratio into this folder."),
    ] = None,
    lead: Leads = None,
    report: Report = None,
    as_json: JsonLines = False,
) -> None:
    """Mix noise into clean records, 24 to -6 dB, as nst does.

    Without --lead the first lead is watched; of several, each has noise of its own.
    """
    from monitor.measure import evaluate as evaluation

    evaluation.evaluate_noise(data, leads=lead, pictures=pictures, report=report, as_json=as_json)


@evaluate_app.command("leads")
def evaluate_leads(
    data: Databases = None,
    records: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Records of mitdb or svdb, separated by commas; by default all."),
    ] = None,
    report: Report = None,
    as_json: JsonLines = False,
) -> None:
    """Trouble one lead of two, and measure which QRS complexes are still found."""
    from monitor.measure import evaluate as evaluation

    evaluation.evaluate_leads(data, records=records, report=report, as_json=as_json)


@evaluate_app.command("faults")
def evaluate_faults(
    data: Data = None,
    report: Report = None,
    as_json: JsonLines = False,
) -> None:
    """Inject faults into clean records, and measure what is still found."""
    from monitor.measure import evaluate as evaluation

    evaluation.evaluate_faults(data, report=report, as_json=as_json)


@evaluate_app.command("ec13")
def evaluate_ec13(report: Report = None, as_json: JsonLines = False) -> None:
    """Show what comes out for the test waveforms of monitors; no conformity is claimed."""
    from monitor.measure import evaluate as evaluation

    evaluation.evaluate_ec13(report=report, as_json=as_json)


@evaluate_app.command("alarms")
def evaluate_alarms(
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Folder with any of challenge2015/, vfdb/, cu/, mitdb/, svdb/, nstdb/ and "
            "cinc17/, or one of these."
        ),
    ] = None,
    pictures: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Draw reference and alarms over time into this folder."),
    ] = None,
    picture: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="DB/RECORD[@SECONDS]",
            help="Only draw this place into --pictures, as vfdb/424@1537; without seconds, all "
            "that is called wrongly in the record. May be repeated.",
        ),
    ] = None,
    lead: Leads = None,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Compare our alarms with annotated alarms, rhythms and beats: one lead beside all.

    Without --lead: of the challenge the lead that is usual for rhythm, elsewhere the first,
    and beside it all leads that are ECG, at most three.
    """
    from monitor.measure import evaluate as evaluation

    if picture:
        evaluation.draw_places(data, picture, pictures, lead)
    else:
        evaluation.evaluate_alarms(
            data, leads=lead, pictures=pictures, report=report, as_json=as_json
        )


@evaluate_app.command("soak")
def evaluate_soak(
    minutes: Annotated[float, typer.Option(min=0.2, help="Duration.")] = 10.0,
    streams: Annotated[int, typer.Option(min=1, max=256, help="Streams at the same time.")] = 50,
    speed: Annotated[float, typer.Option(min=0.1, help="Multiple of real time.")] = 20.0,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Run the whole system for hours, and measure growth and losses."""
    from monitor.measure.soak import soak

    soak(minutes=minutes, streams=streams, speed=speed, report=report, as_json=as_json)


@evaluate_app.command("plan")
def evaluate_plan(report: Report = None, as_json: Json = False) -> None:
    """Measure what a stream costs over a Kafka cluster, and plan for up to a million."""
    from monitor.measure.plan import plan

    plan(report=report, as_json=as_json)
