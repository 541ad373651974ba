"""Records that were made to harm: a corpus of folders, and a process that reads them all.

Run as a program with a folder, it writes the corpus there, reads each record to its end as
`monitor scan` does, and prints one JSON line a case: what came of it, and what it cost.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import InputError
from replay.headers import find_records, load_header
from replay.leads import choose_lead
from replay.records import RecordSource

ADDRESS_SPACE_BYTES = 2 << 30
GOOD = "r 1 360 1000\nr.dat 16 200 11 1024 995 0 0 MLII\n"

Case = tuple[str | bytes, Callable[[Path], object] | None, str]
"""Header, what else is done to the folder of a good record, what the refusal says."""


def replaced(name: str, by: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return a step that puts something else in the place of a file."""

    def step(folder: Path) -> None:
        (folder / name).unlink()
        by(folder / name)

    return step


def sparse(size: int) -> Callable[[Path], object]:
    """Return a step that makes the signal file so long, at no cost in disk."""
    return lambda folder: os.truncate(folder / "r.dat", size)


def flac(samples: int, *, metadata: int = 0, block: int = 4096) -> Callable[[Path], object]:
    """Return a step that makes the signal file a FLAC of one frame that declares ``samples``."""
    packed = (360 << 44 | 15 << 36 | samples).to_bytes(8, "big")
    info = block.to_bytes(2, "big") * 2 + bytes(6) + packed + bytes(16)
    padding = b"\x81" + metadata.to_bytes(3, "big") + bytes(min(metadata, 1000))
    start = b"fLaC\x00\x00\x00\x22" + info + padding
    return lambda folder: (folder / "r.dat").write_bytes(start + b"\xff\xf8" + bytes(60))


def line(fields: str, record: str = "r 1 360 1000") -> str:
    """Return a header of one signal in ``r.dat``."""
    return f"{record}\nr.dat {fields}\n"


def _loop(at: Path) -> None:
    at.symlink_to(at.name)


def _directory(at: Path) -> None:
    at.mkdir()


def _secret(at: Path) -> None:
    outside = at.parent.parent / "secret"
    outside.write_bytes(bytes(3000))
    at.symlink_to(outside)


CASES: dict[str, Case] = {
    "a record that is its own segment": ("r/2 1 360 1000\nr 500\nr 500\n", None, "names itself"),
    "segments within segments": ("r/1 1 360 9\na/9 9\n" * 50, None, "several segments"),
    "a segment without a name": (
        "r/2 2 360 9\n" + "a 5\n" * 70 + "\x1c\n",
        None,
        "several segments",
    ),
    "a FIFO as header": (GOOD, replaced("r.hea", os.mkfifo), "no regular file"),
    "a FIFO as signal file": (GOOD, replaced("r.dat", os.mkfifo), "no regular file"),
    "a folder as header": (GOOD, replaced("r.hea", _directory), "holds no record"),
    "a device as header": (
        GOOD,
        replaced("r.hea", lambda at: at.symlink_to("/dev/zero")),
        "no regular file",
    ),
    "a device as signal file": (
        GOOD,
        replaced("r.dat", lambda at: at.symlink_to("/dev/zero")),
        "no regular file",
    ),
    "an absolute signal file": (GOOD.replace("r.dat", "/etc/passwd"), None, "plain name"),
    "a signal file above": (GOOD.replace("r.dat", "../secret"), None, "plain name"),
    "a link out of the folder": (GOOD, replaced("r.dat", _secret), "link out"),
    "a link to itself": (GOOD, replaced("r.dat", _loop), "cannot be read"),
    "a header that links to itself": (GOOD, replaced("r.hea", _loop), "cannot be read"),
    **{
        f"a signal file at {scheme}": (
            GOOD.replace("r.dat", f"{scheme}bucket/r.dat"),
            None,
            "plain name",
        )
        for scheme in ("s3://", "gs://", "az://", "http://", "file://", "simplecache::")
    },
    "1.6 TiB of samples": (line("16", "r 1 360 900000000000000"), None, "truncated"),
    "a trillion bytes that are not there": (line("16", "r 1 360"), sparse(1 << 40), "a lead"),
    "a frame of a billion samples": (
        line("16x999999999", "r 1 0.000001 1"),
        sparse(2 * 999999999),
        "in one frame",
    ),
    "a frame of 64 leads, 16 million samples each": (
        "r 64 0.00006 1\n" + "r.dat 16x16000000\n" * 64,
        sparse(2 * 64 * 16_000_000),
        "in one frame",
    ),
    "no samples in a frame": (line("16x0"), None, "0 samples per frame"),
    "a skew of a billion frames": (line("16:999999999"), None, "skew"),
    "an offset beyond the end": (line("16+999999999"), None, "truncated"),
    "a billion signals": ("r 999999999 360 1000\n", None, "1 to 64"),
    "65 signals": ("r 65 360 1\n" + "r.dat 16\n" * 65, None, "1 to 64"),
    "a rate of 0": (line("16", "r 1 0 1000"), None, "above 0"),
    "a rate of nan": (line("16", "r 1 nan 1000"), None, "no number"),
    "a rate of 1e9": (line("16", "r 1 1000000000 1000"), None, "over 10,000 Hz"),
    "digits of another script": (line("16", "r 1 ٣٦٠ 1000"), None, "no number"),
    "a gain of 1e-320": (line("16 1e-320"), None, "gain"),
    "a gain of nan": (line("16 nan"), None, "gain"),
    "a gain of 1e308": (line("16 1e308"), None, "gain"),
    "an empty header": ("", None, "is empty"),
    "an empty signal file": (GOOD, sparse(0), "is empty"),
    "binary junk": (bytes(range(256)) * 16, None, "is no text"),
    "NUL bytes": (GOOD.replace("MLII", "ML\0II"), None, "is no text"),
    "escape sequences": (GOOD.replace("MLII", "\x1b]52;c;aGk=\x07"), None, "is no text"),
    "bytes that are no UTF-8": (b"r 1 360 \xff\xfe\n", None, "no WFDB header"),
    "a line of 100 MB": ("r" * 100_000_000, None, "over"),
    "a line of 200 kB": ("r " + "1" * 200_000, None, "is no text"),
    "a hundred thousand lines": (line("16", "r 9 360 1000") + "#\n" * 100_000, None, "describes 1"),
    "a FLAC that declares 2**36 samples": (line("516", "r 1 360"), flac(2**36 - 1), "decoded"),
    "a FLAC with fewer samples than declared": (line("516"), flac(10), "truncated"),
    "a FLAC of 120 bytes that lasts a day": (
        line("516", "r 1 360 30000000"),
        flac(30_000_000, block=65535),
        "truncated",
    ),
    "a FLAC of metadata alone": (line("516"), flac(1000, metadata=2**24 - 1), "no FLAC"),
    "a FLAC without a frame that can be decoded": (line("516"), flac(1000), "decoded"),
    "a FLAC of more bits than its format": (line("508"), flac(1000), "16-bit"),
    "a MATLAB file cut after its head": (line("16+24"), sparse(24), "truncated"),
}

HARMLESS: dict[str, Case] = {
    "a check sum that is wrong": (GOOD.replace("995 0", "995 12345"), None, ""),
    "a gain of 0, which means 200": (GOOD.replace("200", "0"), None, ""),
    "a skew of less than its length": (line("16:999 200 16 0 0 0 0 II"), None, ""),
}


def write(folder: Path, case: Case) -> Path:
    """Write the record of a case into ``folder``; return its header."""
    header, step, _ = case
    folder.mkdir()
    (folder / "r.hea").write_bytes(header if isinstance(header, bytes) else header.encode())
    (folder / "r.dat").write_bytes(bytes(2000))
    if step is not None:
        step(folder)
    return folder / "r.hea"


def read_whole(record: Path) -> int:
    """Read a record to its end, as `monitor scan` does; return how many samples it had."""
    (path,) = find_records(str(record))
    source = RecordSource(path, lead=choose_lead(load_header(path)), speed=None)
    return sum(block.samples.size for block in source.blocks() if block is not None)


def peak_bytes() -> int:
    """Return the most memory that this program ever had; not what forked to start it."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def main(folder: Path) -> None:
    """Read the whole corpus in this process, which may take only so much memory."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    read_whole(write(folder / "warm", HARMLESS["a check sum that is wrong"]))
    for number, (name, case) in enumerate({**CASES, **HARMLESS}.items()):
        header = write(folder / str(number), case)
        began = time.monotonic()
        try:
            outcome = {"samples": read_whole(header)}
        except InputError as error:
            outcome = {"refused": str(error)}
        cost = {
            "seconds": time.monotonic() - began,
            "peak_bytes": peak_bytes(),
        }
        sys.stdout.write(json.dumps({"case": name, **outcome, **cost}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
