"""The commands `monitor evaluate`: measure by a protocol, show the progress, print the result.

`monitor evaluate soak` is in `monitor.measure.soak`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from models.evaluation.report.documents import Section
from models.measure.provenance import provenance
from monitor.inputs import data_folder
from monitor.measure.output import collect, print_json, print_lines, print_sections, progress_of
from pipeline.errors import ConfigError, InputError


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
    from models.evaluation.report.beatgan import draw_beatgan, fold_table, kind_table
    from models.evaluation.report.pictures import prepare

    if pictures is not None:
        prepare(pictures)
    students = FOLD_STUDENTS if student is None else (student,)
    with progress_of(1 + len(students) + (pictures is not None)) as on_step:
        evaluation = evaluate_beatgan(data_folder(data), students, on_step=on_step)
        if pictures is not None:
            on_step("drawing")
            draw_beatgan(evaluation.scores, pictures)
    if as_json:
        print_json(evaluation.result)
    else:
        folds = evaluation.result.folds
        print_sections([Section(blocks=[fold_table(folds), kind_table(folds)])])


def evaluate_interpatient(
    data: Path | None,
    student: Path | None,
    *,
    false_alerts_per_hour: float | None,
    leads: str | None,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Print the figures of the whole stream on patients it has never seen.

    Without ``leads`` the lead that is usual for rhythm is watched.

    Raises:
        InputError: records are missing or unreadable, or none has the leads.
        ArtifactError: the student or its calibration is unusable for this protocol.
        ConfigError: the rate of false alerts was not calibrated, or pictures cannot be drawn here.
    """
    from models.data.mitdb import DS2
    from models.evaluation.protocols.interpatient import (
        APART,
        evaluate_interpatient,
        unseen_paths,
    )
    from models.evaluation.report.interpatient import draw_interpatient, interpatient_tables
    from models.evaluation.report.pictures import prepare
    from models.files.student import SHIPPED_STUDENT

    if pictures is not None:
        prepare(pictures)
    folder = data_folder(data)
    records = len(DS2 if leads is None else unseen_paths(folder, leads))
    with progress_of(2 * records + (pictures is not None)) as on_step:
        evaluation = evaluate_interpatient(
            folder,
            student or SHIPPED_STUDENT,
            false_alerts_per_hour=false_alerts_per_hour,
            leads=leads,
            keep_strips=pictures is not None,
            on_step=on_step,
        )
        if pictures is not None:
            on_step("drawing")
            threshold = evaluation.result.threshold
            draw_interpatient(evaluation.beats, threshold, APART, pictures)
    if as_json:
        print_json(evaluation.result)
    else:
        print_sections([Section(blocks=interpatient_tables(evaluation.result))])


def evaluate_beats(
    data: Path | None, *, folder: Path, leads: str | None, cache: Path | None, as_json: bool
) -> None:
    """Print how each beat of the patients left out is named, by database, in one lead and in all.

    Args:
        data: as in `data_folder`.
        folder: holds the classifiers that have not seen them; those that it lacks are trained.
        leads: to watch instead, together.
        cache: folder that keeps streamed beats.
        as_json: print one JSON object instead.

    Raises:
        InputError: records are missing or unreadable, or none has the leads.
        ArtifactError: what ships, or a classifier in the folder, is unusable.
        ConfigError: a folder cannot be written, or a library for training is not installed.
    """
    from models.evaluation.protocols.beats import evaluate_beats, evaluation_steps
    from models.evaluation.report.beats import beats_sections
    from monitor.commands.train import unseen_classifiers

    where = data_folder(data)
    steps = evaluation_steps(where, leads)
    unseen = unseen_classifiers(where, folder)
    with progress_of(steps) as on_step:
        result = evaluate_beats(where, unseen, leads=leads, cache=cache, on_step=on_step)
    if as_json:
        print_json(result)
    else:
        print_sections(beats_sections(result))


def evaluate_ec57(
    data: Path,
    reference: str,
    test: str | None,
    *,
    detector: bool,
    records: str | None,
    leads: str | None,
    annotations: Path | None,
    as_json: bool,
) -> None:
    """Print how an annotator, or the detector, compares with the reference.

    Without ``leads`` the detector runs on the first one.

    Raises:
        InputError: records or annotations are missing or unreadable, no record has the leads, or
            the folder for annotations is none.
        ConfigError: not exactly one of an annotator and the detector is to be compared.
    """
    from models.ec57.compare import choose_records, compare_records
    from models.evaluation.report.ec57 import ec57_sections
    from replay.lead_sets.asked import with_leads

    if (test is not None) == detector:
        raise ConfigError("compare an annotator or the detector: --test EXT or --against detector")
    if annotations is not None and not detector:
        raise ConfigError("--annotations holds what the detector found: add --against detector")
    if leads is not None and not detector:
        raise ConfigError("--lead is where the detector runs: add --against detector")
    if annotations is not None and not annotations.is_dir():
        raise InputError(f"no folder {str(annotations)!r} to write annotations into: create it")
    asked = 0 if leads is None else leads
    chosen = with_leads(choose_records(data, reference, test, _names(records)), asked)
    with progress_of(len(chosen)) as on_step:
        lines = collect(
            compare_records(
                chosen,
                reference,
                test,
                leads=asked,
                annotations=annotations,
                on_step=on_step,
            ),
            as_json=as_json,
        )
    if not as_json:
        print_sections(ec57_sections(lines, names_classes=not detector))


def _names(records: str | None) -> list[str] | None:
    return None if records is None else [name for name in records.split(",") if name]


def evaluate_noise(
    data: Path | None,
    *,
    leads: str | None,
    pictures: Path | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Print the figures of the stream under noise; draw them, and write them into a document.

    Without ``leads`` the first lead is watched.

    Raises:
        InputError: records are missing or unreadable, or lack the leads.
        ArtifactError: the student or its calibration is unusable.
        ConfigError: pictures cannot be drawn here, or the document has no place for the table.
    """
    from models.evaluation.report.document_file import replace_section, split_at_section
    from models.evaluation.report.noise import SECTION, draw_noise, noise_sections
    from models.evaluation.report.pictures import prepare
    from models.evaluation.stress.noise_stress import STEPS, evaluate_noise

    if report is not None:
        split_at_section(report, SECTION)
    if pictures is not None:
        prepare(pictures)
    with progress_of(STEPS) as on_step:
        asked = 0 if leads is None else leads
        lines = collect(
            evaluate_noise(data_folder(data), leads=asked, on_step=on_step), as_json=as_json
        )
    sections = noise_sections(lines, provenance())
    if not as_json:
        print_sections(sections)
    if pictures is not None:
        draw_noise(lines, pictures)
    if report is not None:
        replace_section(report, SECTION, sections)


def evaluate_leads(
    data: Path | None, *, records: str | None, report: Path | None, as_json: bool
) -> None:
    """Print what a troubled lead of two costs; write it into a document, if asked to.

    Raises:
        InputError: records are missing or unreadable.
        ConfigError: the document has no place for the table.
    """
    from models.evaluation.report.document_file import replace_section, split_at_section
    from models.evaluation.report.lead_troubles import SECTION, trouble_sections
    from models.evaluation.stress.lead_troubles import choose_records, evaluate_troubles, steps

    if report is not None:
        split_at_section(report, SECTION)
    folder = data_folder(data)
    chosen = choose_records(folder, _names(records))
    with progress_of(steps(chosen)) as on_step:
        lines = collect(evaluate_troubles(folder, chosen, on_step=on_step), as_json=as_json)
    sections = trouble_sections(lines, provenance())
    if not as_json:
        print_sections(sections)
    if report is not None:
        replace_section(report, SECTION, sections)


def evaluate_faults(data: Path | None, *, report: Path | None, as_json: bool) -> None:
    """Print the findings of the stream with faults; write them into a document, if asked to.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: the student or its calibration is unusable.
        ConfigError: the document has no place for the table.
    """
    from models.evaluation.report.document_file import replace_section, split_at_section
    from models.evaluation.report.faults import SECTION, fault_sections
    from models.evaluation.stress.fault_injection import STEPS, evaluate_faults

    if report is not None:
        split_at_section(report, SECTION)
    with progress_of(STEPS) as on_step:
        findings = collect(evaluate_faults(data_folder(data), on_step=on_step), as_json=as_json)
    sections = fault_sections(findings, provenance())
    if not as_json:
        print_sections(sections)
    if report is not None:
        replace_section(report, SECTION, sections)


def evaluate_ec13(*, report: Path | None, as_json: bool) -> None:
    """Print what comes out for test waveforms; write it into a document, if asked to.

    Raises:
        ArtifactError: what ships is unusable.
        ConfigError: the document has no place for the table.
    """
    from models.evaluation.report.document_file import replace_section, split_at_section
    from models.evaluation.report.ec13 import SECTION, ec13_sections
    from models.evaluation.stress.ec13 import STEPS, evaluate_ec13

    if report is not None:
        split_at_section(report, SECTION)
    with progress_of(STEPS) as on_step:
        figures = collect(evaluate_ec13(on_step), as_json=as_json)
    sections = ec13_sections(figures, provenance())
    if not as_json:
        print_sections(sections)
    if report is not None:
        replace_section(report, SECTION, sections)


def evaluate_alarms(
    data: Path | None,
    *,
    leads: str | None,
    pictures: Path | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Print how right the alarms are; draw it, and write it into a document, if asked to.

    Without ``leads`` one lead and all leads are measured, side by side.

    Raises:
        InputError: no database is there, or a record is missing or unreadable.
        ArtifactError: what ships is unusable.
        ConfigError: pictures cannot be drawn here, or the document has no place for the tables.
    """
    from models.evaluation.alarms.evaluate import databases, evaluate_alarms, steps
    from models.evaluation.report.alarms.pictures import draw_alarms
    from models.evaluation.report.alarms.sections import (
        SECTION,
        alarm_sections,
        wrong_lines,
        wrong_lines_of_all_leads,
    )
    from models.evaluation.report.document_file import replace_section, split_at_section
    from models.evaluation.report.pictures import prepare

    if report is not None:
        split_at_section(report, SECTION)
    if pictures is not None:
        prepare(pictures)
    folder = data_folder(data)
    with progress_of(steps(databases(folder, leads), leads)) as on_step:
        result = evaluate_alarms(folder, leads=leads, on_step=on_step)
    sections = alarm_sections(result, provenance())
    if as_json:
        print_json(result)
    else:
        print_sections(sections)
        print_lines(
            "Called wrongly (a picture of each: --picture RECORD@SECONDS --pictures DIR)",
            wrong_lines(result),
        )
        print_lines(
            "Called wrongly with all leads (add --lead all)", wrong_lines_of_all_leads(result)
        )
    if pictures is not None:
        draw_alarms(result, pictures)
    if report is not None:
        replace_section(report, SECTION, sections)


def draw_places(
    data: Path | None, texts: Sequence[str], pictures: Path | None, leads: str | None = None
) -> None:
    """Draw places of records, as `evaluate_alarms` lists them, and print the files.

    ``leads`` are those to watch, by default the one of the evaluation.

    Raises:
        InputError: a record is missing or unreadable, or nothing is called wrongly in it.
        ArtifactError: what ships is unusable.
        ConfigError: a text names no place, there is no folder for pictures, or they cannot be
            drawn here.
    """
    from models.evaluation.alarms.views import look_at, parse_place, places_of
    from models.evaluation.report.alarms.pictures import draw_view
    from models.evaluation.report.pictures import prepare

    if pictures is None:
        raise ConfigError("--picture needs a folder to draw into: add --pictures DIR")
    named = [parse_place(text) for text in texts]
    prepare(pictures)
    folder = data_folder(data)
    places = [place for one in named for place in places_of(folder, one, leads)]
    with progress_of(len(places)) as on_step:
        for place in places:
            on_step(f"{place.database}/{place.record}")
            sys.stdout.write(f"{draw_view(look_at(folder, place, leads), pictures)}\n")


def write_cards(data: Path | None, teachers: Sequence[Path], folder: Path) -> None:
    """Run both protocols, write the model cards into ``folder``, and print their files.

    Raises:
        InputError: records are missing or unreadable.
        ArtifactError: something that ships is unusable, or a teacher is.
        ConfigError: pictures cannot be drawn here, or the folder cannot be written.
    """
    from models.data.annotated_beats import FOLDS
    from models.data.mitdb import DS2
    from models.evaluation.cards.write import write_cards, write_reports
    from models.files.classifier import SHIPPED_CLASSIFIER

    passes = 1 + SHIPPED_CLASSIFIER.is_file()
    steps = bool(teachers) + (1 + FOLDS + 1) + (passes * len(DS2) + 1)
    with progress_of(steps) as on_step:
        write_reports(data_folder(data), folder, teachers=teachers, on_step=on_step)
    for file in write_cards(folder):
        sys.stdout.write(f"{file}\n")
