"""Files that were made to harm: a corpus of every format, and a process that reads them all.

Run as a program with a folder, it writes the corpus there, opens each file and reads it to its end
as `monitor scan` does, and prints one JSON line a case: what came of it, and what it cost.
"""

import json
import os
import resource
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from replay.files.recordings import open_recording
from replay.files.stated import Stated
from replay.records import RecordSource
from tests.support import recordings
from tests.support.hostile_records import ADDRESS_SPACE_BYTES, peak_bytes

STATED = Stated.of(fs_hz=recordings.RATE_HZ, unit="mV")
ADC = np.random.default_rng(4).integers(100, 1900, (10 * recordings.RATE_HZ, 2))
EDF = recordings.edf_bytes(ADC)
ROW = "0.1,0.2\n"

Case = tuple[str, bytes | Callable[[Path], object], str]
"""Name of the file, what it holds or a step that makes it, what the refusal says."""


def changed(at: int, field: str, width: int = 8, data: bytes = EDF) -> bytes:
    """Return EDF with another text in a field."""
    return data[:at] + field.encode().ljust(width) + data[at + width :]


def sparse(head: bytes, size: int) -> Callable[[Path], object]:
    """Return a step that writes a file that begins so and is so long, at no cost in disk."""

    def step(path: Path) -> None:
        path.write_bytes(head)
        os.truncate(path, size)

    return step


def array(text: str, data: bytes = bytes(80_000), version: int = 1) -> bytes:
    """Return an array whose header is a text."""
    head = text.encode().ljust(117) + b"\n"
    size = struct.pack("<H", len(head)) if version == 1 else struct.pack("<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + size + head + data


def described(descr: str = "'<f8'", shape: str = "(10000,)", order: str = "False") -> str:
    """Return the header of an array as numpy writes it."""
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def matlab(rows: int, columns: int) -> bytes:
    """Return a MATLAB 4 file that declares so much and holds nothing."""
    return struct.pack("<5i", 0, rows, columns, 0, 4) + b"val\0"


def _pieces(onsets: list[float]) -> bytes:
    return recordings.edf_bytes(ADC, onsets=onsets)


SAMPLES_AT = 256 + 2 * 216
CASES: dict[str, Case] = {
    "EDF of a billion signals": ("x.edf", changed(252, "9999", 4), "1 to 512"),
    "EDF of another header": ("x.edf", changed(184, "99999999"), "no header of"),
    "EDF of no data records": ("x.edf", EDF[:768], "holds 0"),
    "EDF that was cut in its header": ("x.edf", EDF[:300], "no header of"),
    "EDF of a hundred million records": ("x.edf", changed(236, "99999999"), "truncated"),
    "EDF of records without an end": (
        "x.edf",
        sparse(changed(236, "-1"), 1 << 41),
        "samples a lead",
    ),
    "EDF of a hundred million samples a record": (
        "x.edf",
        changed(SAMPLES_AT, "99999999"),
        "in one data record",
    ),
    "EDF of no samples a record": ("x.edf", changed(SAMPLES_AT, "0"), "0 samples a record"),
    "EDF of less than none": ("x.edf", changed(SAMPLES_AT, "-5"), "-5 samples a record"),
    "EDF of a duration that is none": ("x.edf", changed(244, "1e999"), "no number"),
    "EDF of a duration of 1e-30 s": ("x.edf", changed(244, "1e-30"), "--fs|Hz|long"),
    "EDF of a duration of letters": ("x.edf", changed(244, "\x1b[2J"), "no number"),
    "EDF that ends in a year": (
        "x.edf",
        _pieces([0, 1, 2, 3, 4, 5, 6, 7, 8, 99999999999]),
        "split it",
    ),
    "EDF that goes back": ("x.edf", _pieces([0, 1, 2, 3, 2, 5, 6, 7, 8, 9]), "before the one"),
    "a text of 100 MB in one line": ("x.csv", b"1" * 100_000_000, "over 16 KiB"),
    "a text with a long line in its middle": (
        "x.csv",
        ROW.encode() * 50_000 + b"1" * 20_000,
        "over 16 KiB",
    ),
    "a text of five thousand columns": (
        "x.csv",
        (b"1," * 5000 + b"1\n") * 20,
        "5001 columns",
    ),
    "a text that lasts a million years": (
        "x.csv",
        (
            "time,II\n" + "".join(f"{n / 360:.6f},0.1\n" for n in range(5000)) + "3e13,0.1\n"
        ).encode(),
        "split it|needed",
    ),
    "a text with quotation marks that do not close": (
        "x.csv",
        (ROW * 5000 + '"0.1,0.2\n' * 5000).encode(),
        "columns are needed|number is needed|no table",
    ),
    "a text with control characters behind its beginning": (
        "x.csv",
        (ROW * 5000 + "\x1b]52;c;aGk=\x07,1\n").encode(),
        "number is needed",
    ),
    "an array of objects": ("x.npy", array(described("'|O'")), "real numbers"),
    "an array of records": ("x.npy", array(described("[('a', '<f8')]")), "real numbers"),
    "an array of complex numbers": ("x.npy", array(described("'<c16'")), "real numbers"),
    "an array of 2**62 numbers": ("x.npy", array(described(shape=f"({2**62},)")), "shape"),
    "an array of less than none": ("x.npy", array(described(shape="(-5,)")), "shape"),
    "an array of none": ("x.npy", array(described(shape="(0, 2)")), "shape"),
    "an array of a trillion columns": (
        "x.npy",
        array(described(shape="(5000, 1000000000000)")),
        "columns",
    ),
    "an array that is shorter than it says": ("x.npy", array(described(shape="(10001,)")), "short"),
    "an array whose header is code": ("x.npy", array("__import__('os').abort()"), "no header"),
    "an array of brackets": ("x.npy", array("(" * 115), "no header"),
    "an array with a header of 4 GiB": (
        "x.npy",
        b"\x93NUMPY\x02\0\xff\xff\xff\xff" + bytes(1000),
        "no header",
    ),
    "an array of version 9": ("x.npy", b"\x93NUMPY\x09\0" + bytes(1000), "no header"),
    "an array of a trillion bytes": (
        "x.npy",
        sparse(array(described(shape=f"({2**37},)")), 1 << 40),
        "rows",
    ),
    "MATLAB of 2 TiB": ("x.mat", matlab(1 << 30, 256), "cannot be used"),
    "MATLAB that is cut": ("x.mat", matlab(1, 5000), "cannot be used"),
    "MATLAB of bytes": (
        "x.mat",
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM" + bytes(range(256)) * 9,
        "cannot be used",
    ),
    "Parquet of a footer of 4 GiB": (
        "x.parquet",
        b"PAR1" + bytes(1000) + b"\xff\xff\xff\xffPAR1",
        "cannot be used",
    ),
    "DICOM of nothing": ("x.dcm", bytes(128) + b"DICM" + b"\xff" * 500, "cannot be used"),
    "XML that grows": (
        "x.xml",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12))
        + b"]><AnnotatedECG>&m;</AnnotatedECG>",
        "cannot be used",
    ),
    "XML of a file of the machine": (
        "x.xml",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
        b"<AnnotatedECG>&b;</AnnotatedECG>",
        "cannot be used",
    ),
    "a FIFO": ("x.edf", os.mkfifo, "no regular file"),
    "a device": ("x.csv", lambda at: at.symlink_to("/dev/zero"), "no regular file"),
}


def write(folder: Path, case: Case) -> Path:
    """Write the file of a case into ``folder``; return its path."""
    name, content, _ = case
    folder.mkdir()
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        content(folder / name)
    return folder / name


def read_whole(path: Path, stated: Stated = STATED) -> int:
    """Open a file and read it to its end; return how many samples all its signals have."""
    header = open_recording(path, stated)
    leads = range(min(12, len(header.signals)))
    source = RecordSource(header, leads=leads, speed=None)
    return sum(block.samples.size for block in source.blocks() if block is not None)


def main(folder: Path) -> None:
    """Read the whole corpus in this process, which may take only so much memory."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    (folder / "warm.edf").write_bytes(EDF)
    read_whole(folder / "warm.edf")
    for number, (name, case) in enumerate(CASES.items()):
        path = write(folder / str(number), case)
        began = time.monotonic()
        try:
            outcome = {"samples": read_whole(path)}
        except InputError as error:
            outcome = {"refused": str(error)}
        cost = {"seconds": time.monotonic() - began, "peak_bytes": peak_bytes()}
        sys.stdout.write(json.dumps({"case": name, **outcome, **cost}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
