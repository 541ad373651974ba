"""What kind of file a path leads to, by its first bytes; its name decides only between texts.

Every kind that is not read is called by its name, with what to do instead.
"""

from pathlib import Path
from typing import Final

from replay.files.regular import check_regular, read_head

HEAD_BYTES: Final = 4096

EDF, NPY, MATLAB, PARQUET, TEXT, OTHER = "EDF", "NumPy", "MATLAB", "Parquet", "text", "other"
"""Kinds that are read here; `OTHER` are read by ecgdatakit (`replay.files.foreign`)."""

_STARTS: Final = (
    (b"0       ", EDF),
    (b"\xffBIOSEMI", EDF),
    (b"\x93NUMPY", NPY),
    (b"MATLAB 5.0 MAT-file", MATLAB),
    (b"PAR1", PARQUET),
    (b"ISHNE1.0", OTHER),
)

_UNREAD: Final = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; export it as EDF or CSV: h5py reads its arrays"),
    (b"MATLAB 7.3 MAT-file", "a MATLAB 7.3 file, which is HDF5; save it with '-v7', or as EDF"),
    (b"PK\x03\x04", "a ZIP archive, or a workbook of Excel; extract it, or save the sheet as CSV"),
    (b"\x1f\x8b", "a gzip file; extract it with gunzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of old Excel; save the sheet as CSV"),
    (b"%PDF", "a PDF: it shows the signal and does not hold it; export the recording as EDF"),
    (b"\x89PNG", "a picture; export the recording itself, as EDF"),
    (b"\xff\xd8\xff", "a picture; export the recording itself, as EDF"),
    (b"fLaC", "FLAC without its WFDB header; put the .hea beside it"),
    (b"RIFF", "a WAV file, which states no unit; export the recording as EDF or CSV"),
    (b"GDF ", "a GDF file; export it as EDF, as EEGLAB and BioSig do"),
    (b"SQLite format 3\0", "an SQLite database; a log of alerts is shown by monitor show"),
    (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
)
_XML_ECG: Final = (b"AnnotatedECG", b"RestingECG", b"RESTINGECG", b"MuseInfo", b"restingecgdata")


def kind_of(path: Path) -> str | None:
    """Return the kind of a regular file; None where nothing here reads it.

    Raises:
        InputError: it is no regular file, or cannot be read.
    """
    if check_regular(path, "file") == 0:
        return None
    head = read_head(path, "file", HEAD_BYTES)
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if any(head.startswith(start) for start, _ in _UNREAD):
        return None
    if head[128:132] == b"DICM" or _is_scp(head) or _is_ecg_xml(head):
        return OTHER
    if path.suffix.lower() == ".mat" and _is_matlab_4(head):
        return MATLAB
    return TEXT if _is_text(head) else None


def unread(path: Path) -> str:
    """Return what a file is that nothing here reads, and what to do, without its name."""
    if check_regular(path, "file") == 0:
        return "an empty file"
    head = read_head(path, "file", HEAD_BYTES)
    for start, what in _UNREAD:
        if head.startswith(start):
            return what
    mark_up = head.lstrip(b"\xef\xbb\xbf \r\n").lower()
    if mark_up.startswith((b"<!doctype html", b"<html")):
        return "a web page, as monitor report writes them; give the recording itself"
    if mark_up.startswith(b"<"):
        return "XML of a kind that is not known; export the recording as EDF or CSV"
    return "of a kind that is not known; export the recording as EDF or CSV"


def _is_scp(head: bytes) -> bool:
    """Return whether bytes begin an SCP-ECG file: its first section points at itself (EN 1064)."""
    return (
        len(head) >= 32
        and head[8:10] == b"\0\0"
        and int.from_bytes(head[10:14], "little") >= 26
        and head[22:24] == b"\0\0"
        and int.from_bytes(head[28:32], "little") == 7
    )


def _is_ecg_xml(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf\xff\xfe \r\n").replace(b"\0", b"")
    return start.startswith(b"<") and any(name in start for name in _XML_ECG)


def _is_matlab_4(head: bytes) -> bool:
    """Return whether bytes begin a MATLAB 4 file: type, rows, columns, imaginary, name's length."""
    kind, rows, columns, imaginary, name = (
        int.from_bytes(head[at : at + 4], "little") for at in range(0, 20, 4)
    )
    return kind < 100 and rows > 0 and columns > 0 and imaginary < 2 and 1 < name <= 64


def _is_text(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf")
    return not any(byte < 9 or 13 < byte < 32 for byte in text) and not text.startswith(b"<")
