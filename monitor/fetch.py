"""`monitor fetch`: download a PhysioNet database, file by file, checked and resumable."""

import hashlib
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.whole_file import write_whole
from pipeline.errors import InputError

DATABASES: Final = {
    "mitdb": ("1.0.0", "Moody & Mark 2001, MIT-BIH Arrhythmia Database"),
    "nstdb": ("1.0.0", "Moody, Muldrow & Mark 1984, MIT-BIH Noise Stress Test Database"),
    "vfdb": ("1.0.0", "Greenwald 1986, MIT-BIH Malignant Ventricular Ectopy Database"),
}
_SITE: Final = "https://physionet.org/files"
_TIMEOUT_S: Final = 60.0
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LARGEST_FILE: Final = 64 * 1024 * 1024


def fetch(name: str, data: Path, *, site: str = _SITE) -> Path:
    """Download database ``name`` into ``data/name`` and return that folder.

    Every file is compared with the database's own SHA-256 list; what is there and right is not
    fetched again.

    Raises:
        InputError: an unknown database, no connection, or a file that is not what it should be.
        ConfigError: the folder cannot be written.
    """
    if name not in DATABASES:
        raise InputError(f"unknown database {name!r:.40}: known are {', '.join(DATABASES)}")
    version, citation = DATABASES[name]
    folder = data / name
    folder.mkdir(parents=True, exist_ok=True)
    base = f"{site}/{name}/{version}"
    wanted = _wanted(_get(f"{base}/SHA256SUMS.txt").decode("utf-8", "replace"))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task(name, total=len(wanted))
        for file, sha256 in wanted:
            path = folder / file
            if not path.is_file() or _sha256(path.read_bytes()) != sha256:
                content = _get(f"{base}/{file}")
                if _sha256(content) != sha256:
                    raise InputError(f"{base}/{file} arrived damaged: run the command again")
                write_whole(path, content)
            progress.advance(task)
    console.print(f"{folder}: {len(wanted)} files. Please cite: {citation}; Goldberger et al. 2000")
    return folder


def _wanted(sums: str) -> list[tuple[str, str]]:
    """Return (file, sha256) of the records' own files, top level only."""
    pairs = [line.split(maxsplit=1) for line in sums.splitlines() if line.strip()]
    files = [(pair[1].strip(), pair[0]) for pair in pairs if len(pair) == 2]
    records = {file[:-4] for file, _ in files if file.endswith(".hea")}
    return [
        (file, sha256)
        for file, sha256 in files
        if _NAME.fullmatch(file) and file.split(".")[0] in records
    ]


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310  (our own https address)
            content: bytes = answer.read(_LARGEST_FILE)
            return content
    except (urllib.error.URLError, OSError) as error:
        raise InputError(f"cannot fetch {url}: {error}; check the connection") from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
