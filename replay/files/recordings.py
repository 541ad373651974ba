"""Find and open recordings in files of any kind: the one place that knows what reads which.

`open_recording` returns the checked header of a file, from which `replay.records.RecordSource`
plays it. `find_recordings` finds what an argument of the command line names.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.errors import InputError
from replay.files.content import EDF, MATLAB, NPY, OTHER, PARQUET, TEXT, kind_of, unread
from replay.files.regular import quoted
from replay.files.segments import segment_names
from replay.files.stated import NOTHING, UNITS, Stated
from replay.headers import DEMO_RECORD, RecordHeader, header_path, load_header

LEAST_S: Final = 5.0
"""Of shorter recordings nothing is known: the first second settles the filters, and no interval
between beats is an alarm's evidence."""

_MOST: Final = 100_000
"""Files in a folder and those below it."""


class Found(NamedTuple):
    """Recordings that an argument names, and what else is there."""

    paths: list[Path]
    skipped: list[tuple[Path, str]]
    """Files of a folder that are no recordings, each with what it is."""
    folder: bool
    """The argument is a folder, of which a bad record ends nothing."""


def open_recording(path: str | Path, stated: Stated = NOTHING) -> RecordHeader:
    """Return the checked header of a recording, with what reads its samples.

    ``path`` is a file that `find_recordings` found, or that a person named: a WFDB record, EDF,
    EDF+, BDF, CSV, TSV, .npy, .mat, Parquet, ISHNE, SCP-ECG, HL7 aECG, DICOM or MUSE XML.

    Raises:
        InputError: it cannot be used; the text says why, and what to do.
    """
    file = Path(path)
    kind = None if _of_wfdb(file) else kind_of(file)
    if kind == EDF:
        from replay.files.edf import open_edf

        header = open_edf(file, stated)
    elif kind == NPY:
        from replay.files.arrays import open_array

        header = open_array(file, stated)
    elif kind == TEXT:
        from replay.files.text_tables import open_text

        header = open_text(file, stated)
    elif kind in (MATLAB, PARQUET, OTHER):
        from replay.files.foreign import open_foreign

        header = open_foreign(file, kind, stated)
    elif not _of_wfdb(file):
        raise InputError(f"file {quoted(file)} is {unread(file)}")
    elif stated.columns:
        raise InputError(f"record {quoted(file)} has leads and no columns: name them with --lead")
    else:
        header = load_header(file)
    _check(header, stated)
    return header


def _check(header: RecordHeader, stated: Stated) -> None:
    """Refuse a recording that is at odds with what is stated of it, or too short."""
    where = f"record {quoted(header.path)}"
    seconds = header.frames / header.frame_rate_hz
    if seconds < LEAST_S:
        raise InputError(f"{where} is {seconds:.3g} s long: {LEAST_S:g} s are needed")
    units = {n: UNITS.get(signal.units.lower(), "") for n, signal in enumerate(header.signals)}
    leads = [n for n, unit in units.items() if unit] or list(units)
    rates = [header.lead_rate_hz(n) for n in leads]
    if stated.fs_hz not in rates:
        stated.rate_hz(max(rates), where)
    found = [units[n] for n in leads]
    if any(found) and stated.unit_or(found[0]) not in found:
        stated.unit_of(found[0], where)


def _of_wfdb(path: Path) -> bool:
    """Return whether a path names a WFDB record: its header, its name, or one of its files."""
    try:
        if path.suffix == ".hea" or not os.path.lexists(path) or path.is_dir():
            return True
        beside = (path.with_name(path.name + ".hea"), path.with_suffix(".hea"))
        return any(map(os.path.lexists, beside)) and not _stands_alone(path)
    except (OSError, ValueError):
        return True


def _stands_alone(path: Path) -> bool:
    """Return whether a file is a recording, whatever WFDB record has its name.

    The challenges keep the samples of a record in a .mat, and a note about it may be a text.
    """
    try:
        kind = kind_of(path)
    except InputError:
        return False
    return kind in (EDF, NPY, PARQUET, OTHER) or (
        kind == TEXT and path.suffix.lower() in (".csv", ".tsv")
    )


def find_recordings(argument: str, *, recursive: bool = False) -> Found:
    """Return the files that ``argument`` names, in alphabetical order for a folder.

    Accepts ``demo``, a file, a WFDB record with or without extension (``100``, ``dir/100.hea``),
    and a folder, which stands for every recording in it; with ``recursive`` also for those in the
    folders below.

    Raises:
        InputError: there is none, or the folder cannot be read.
    """
    if argument == "demo":
        return Found([DEMO_RECORD], [], folder=False)
    path = Path(argument)
    try:
        folder = path.is_dir() and not os.path.isfile(f"{path}.hea")
        if not folder:
            return Found([path if _is_other(path) else header_path(path)], [], folder=False)
        files = sorted(_files(path, recursive=recursive))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot look for records in {quoted(argument)}: {error}") from None
    found = _sorted_out(files)
    if not found.paths:
        below = "" if recursive else "; --recursive looks into the folders below, too"
        first = next((f": {quoted(file.name)} is {what}" for file, what in found.skipped), "")
        raise InputError(f"folder {quoted(argument)} holds no record{first}{below}")
    return found


def _is_other(path: Path) -> bool:
    """Return whether a path names a file that is no WFDB record."""
    return os.path.lexists(path) and not _of_wfdb(path)


def _files(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """Yield the files of a folder that are not hidden; a link to a folder is not followed."""
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) * recursive
        for name in names:
            if not name.startswith("."):
                count += 1
                if count > _MOST:
                    raise InputError(f"folder {quoted(folder)} holds over {_MOST:,} files")
                yield Path(parent) / name


def _sorted_out(files: list[Path]) -> Found:
    """Return which of some files are recordings; those that belong to a WFDB record are passed."""
    headers = [file for file in files if file.suffix == ".hea"]
    records = {header.with_suffix("") for header in headers}
    segments = {header.parent / name for header in headers for name in segment_names(header)}
    paths = [header for header in headers if header.with_suffix("") not in segments]
    skipped = []
    for file in files:
        if file.suffix == ".hea" or (file.with_suffix("") in records and not _stands_alone(file)):
            continue
        try:
            kind = kind_of(file)
            if kind is None:
                skipped.append((file, unread(file)))
            elif kind == TEXT and not _holds_table(file):
                skipped.append((file, "text without a table of numbers"))
            else:
                paths.append(file)
        except InputError as error:
            skipped.append((file, f"not read: {error}"))
    return Found(sorted(paths), skipped, folder=True)


def _holds_table(file: Path) -> bool:
    """Return whether a text of a folder is a recording; lists without an extension are none."""
    if not file.suffix:
        return False
    from replay.files.text_tables import Table

    try:
        table = Table(file)
    except InputError:
        return False
    return table.n > 2
