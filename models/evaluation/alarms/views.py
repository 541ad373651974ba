"""A place in a record: its signal, its reference, our beats and alarms.

A place is written as `monitor evaluate alarms` lists it: ``vfdb/424@1537.5``, or without seconds,
for everything that is called wrongly in a record.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.challenge2015 import ALARM_AT_S, read_cases
from models.data.readings import read_readings
from models.data.rhythms import Stretch, read_rhythms
from models.evaluation.alarms.challenge2015 import OWN_DELAY_S
from models.evaluation.alarms.detection import detect_in_signal
from models.evaluation.alarms.evaluate import DATABASES, folder_of
from models.evaluation.alarms.spans import WITHIN_S, AlarmSpan, spans_of
from pipeline.alarms.kinds import KINDS
from pipeline.errors import ConfigError, InputError
from replay.annotations import annotation_file, read_beats
from replay.lead_sets.asked import read_asked
from replay.records import read_lead

AROUND_S: Final = 10.0
"""So much is shown on each side."""

_LATEST_S: Final = 1e6


class Place(NamedTuple):
    """A record of a database, and a second of it."""

    database: str
    record: str
    at_s: float | None
    """None: wherever something is called wrongly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is around a place; times are seconds of the record."""

    name: str
    """Database and record."""
    at_s: float
    first_s: float
    fs_hz: float
    mv: NDArray[np.float32]
    """The first of the leads as recorded, float32[n], NaN where the record has no value."""
    reference: list[Stretch]
    """What the reference names here."""
    annotated: list[tuple[float, str]]
    """Its beats."""
    alarms: list[AlarmSpan]
    """Ours, of every kind but single anomalous beats."""
    detected: list[tuple[float, str]]
    """Our beats and their labels."""


def parse_place(text: str) -> Place:
    """Return the place that ``text`` names.

    Raises:
        ConfigError: it names none.
    """
    record, marked, second = text.partition("@")
    database, _, name = record.partition("/")
    try:
        at_s = float(second) if marked else None
    except ValueError:
        at_s = -1.0
    known = database in DATABASES and name != "" and ".." not in name
    if not known or (at_s is not None and not 0.0 <= at_s <= _LATEST_S):
        raise ConfigError(
            f"{text!r} names no place of a record: DATABASE/RECORD or DATABASE/RECORD@SECONDS, "
            f"where DATABASE is one of {', '.join(DATABASES)}"
        )
    return Place(database, name, at_s)


def places_of(data: Path, place: Place, leads: str | None = None) -> list[Place]:
    """Return the place itself or, without a second, where its record is called wrongly.

    ``leads`` are those to watch, by default the one of the evaluation.

    Raises:
        InputError: the record is unusable, or nothing is called wrongly in it.
    """
    if place.at_s is not None:
        return [place]
    folder = folder_of(data, place.database)
    asked = [] if leads is None else [leads]
    evaluate = DATABASES[place.database].evaluate
    measured = evaluate(folder, [place.record], lambda text: None, *asked)
    if not measured.wrong:
        name = f"{place.database}/{place.record}"
        raise InputError(
            f"nothing is called wrongly in {name}, or it is not among the records of "
            f"{place.database}: name the second to draw, {name}@SECONDS"
        )
    return [place._replace(at_s=call.at_s) for call in measured.wrong]


def look_at(data: Path, place: Place, leads: str | None = None) -> View:
    """Return what is around a second of a record; ``leads`` as for `places_of`.

    Raises:
        InputError: the record is unusable, or ends before.
    """
    assert place.at_s is not None
    database = DATABASES[place.database].folder
    folder = folder_of(data, place.database)
    # As in the evaluation: the lead that is usual for rhythm, until the alarm; else the first one.
    chosen = database == "challenge2015"
    asked = leads if leads is not None or chosen else 0
    info, samples = read_asked(folder / place.record, asked)
    seconds = samples.shape[-1] / info.fs_hz
    name = f"{place.database}/{place.record}"
    first_s, last_s = max(0.0, place.at_s - AROUND_S), min(seconds, place.at_s + AROUND_S)
    if first_s >= seconds:
        raise InputError(f"{name} ends at {seconds:.1f} s, before {place.at_s:g} s")
    until_s = min(seconds, ALARM_AT_S + OWN_DELAY_S) if chosen else seconds
    watched = samples[..., : round(until_s * info.fs_hz)]
    found = detect_in_signal(watched, info.fs_hz, info.leads)
    kinds = [kind for kind in KINDS if kind != "anomalous_beat"]
    stretches, annotated = _REFERENCES[database](folder, place.record, seconds)
    first = round(first_s * info.fs_hz)

    def inside(begin_s: float, end_s: float) -> bool:
        return begin_s <= last_s and end_s >= first_s

    beats_s = (found.beats.samples / info.fs_hz).tolist()
    beats = list(zip(beats_s, found.beats.labels, strict=True))
    return View(
        name=name,
        at_s=place.at_s,
        first_s=first / info.fs_hz,
        fs_hz=info.fs_hz,
        mv=np.atleast_2d(samples)[0, first : round(last_s * info.fs_hz)],
        reference=[one for one in stretches if inside(one.begin_s, one.end_s)],
        annotated=[beat for beat in annotated if inside(beat[0], beat[0])],
        alarms=[
            span
            for span in spans_of(found.alerts, kinds, found.seconds)
            if inside(span.begin_s, span.end_s)
        ],
        detected=[beat for beat in beats if inside(beat[0], beat[0])],
    )


Marks = tuple[list[Stretch], list[tuple[float, str]]]
"""What a reference names, as stretches and as beats."""


def _of_challenge(folder: Path, record: str, seconds: float) -> Marks:
    return [
        Stretch(
            f"{case.kind} ({'true' if case.true else 'false'})", ALARM_AT_S - WITHIN_S, ALARM_AT_S
        )
        for case in read_cases(folder)
        if case.record == record
    ], []


def _of_notes(folder: Path, record: str, seconds: float) -> Marks:
    return read_rhythms(folder / record, seconds), []


def _of_readings(folder: Path, record: str, seconds: float) -> Marks:
    return [
        stretch
        for one in read_readings(folder)
        if one.record == record
        for stretch in (*one.fibrillation, *one.unclear)
    ], []


def _of_beats(folder: Path, record: str, seconds: float) -> Marks:
    if not annotation_file(folder / record, "atr").is_file():
        return [], []  # noise alone
    fs_hz = read_lead(folder / record, 0)[0].fs_hz
    beats, symbols = read_beats(folder / record, lead=0)
    marks = list(zip((beats / fs_hz).tolist(), symbols, strict=True))
    return read_rhythms(folder / record, seconds), marks


def _of_label(folder: Path, record: str, seconds: float) -> Marks:
    return [Stretch(record.partition("/")[0], 0.0, seconds)], []


_REFERENCES: Final[Mapping[str, Callable[[Path, str, float], Marks]]] = {
    "challenge2015": _of_challenge,
    "vfdb": _of_notes,
    "cu": _of_readings,
    "mitdb": _of_beats,
    "svdb": _of_beats,
    "nstdb": _of_beats,
    "cinc17": _of_label,
}
"""By folder."""
