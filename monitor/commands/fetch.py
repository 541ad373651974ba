"""`monitor fetch`: download a PhysioNet database, file by file, checked and resumable.

Of what the site sends, only its list of SHA-256 is trusted, which comes over TLS. A file is written
if its content has the sum in the list, under a plain name in the database's own folder. No other
module fetches anything over the network.
"""

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.files.atomic_write import write_atomically
from monitor.text import safe_text
from pipeline.errors import ConfigError, InputError

DATABASES: Final = {
    "mitdb": ("1.0.0", "Moody & Mark 2001, MIT-BIH Arrhythmia Database"),
    "nstdb": ("1.0.0", "Moody, Muldrow & Mark 1984, MIT-BIH Noise Stress Test Database"),
    "vfdb": ("1.0.0", "Greenwald 1986, MIT-BIH Malignant Ventricular Ectopy Database"),
}
_SITE: Final = "https://physionet.org/files"
_TIMEOUT_S: Final = 60.0
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST_FILE: Final = 64 * 1024 * 1024


def fetch(name: str, data: Path, *, site: str = _SITE) -> Path:
    """Download database ``name`` into ``data/name`` and return that folder.

    Every file is compared with the database's own SHA-256 list; files that are present and correct
    are not fetched again.

    Raises:
        InputError: the database is unknown, there is no connection, or a file has another sum.
        ConfigError: the folder cannot be written.
    """
    if name not in DATABASES:
        raise InputError(f"unknown database {name!r:.40}: known are {', '.join(DATABASES)}")
    version, citation = DATABASES[name]
    folder = data / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {str(folder)!r}: {error.strerror}; use --data") from None
    base = f"{site}/{name}/{version}"
    wanted = _wanted(_get(f"{base}/SHA256SUMS.txt").decode("utf-8", "replace"))
    if not wanted:
        raise InputError(f"{base}/SHA256SUMS.txt lists no record: check the connection")
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
                write_atomically(path, content)
            progress.advance(task)
    console.print(
        f"{safe_text(str(folder), 400)}: {len(wanted)} files. "
        f"Please cite: {citation}; Goldberger et al. 2000",
        markup=False,
    )
    return folder


def _wanted(sums: str) -> list[tuple[str, str]]:
    """Return (file, sha256) of the records' own files, top level only."""
    pairs = [line.split(maxsplit=1) for line in sums.splitlines() if line.strip()]
    files = [(pair[1].strip(), pair[0]) for pair in pairs if len(pair) == 2]
    records = {file[:-4] for file, _ in files if file.endswith(".hea")}
    return [
        (file, sha256)
        for file, sha256 in files
        if _NAME.fullmatch(file) and _SHA256.fullmatch(sha256) and file.split(".")[0] in records
    ]


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from TLS to an unencrypted address."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith(f"{req.type}://"):
            raise urllib.error.URLError(f"it leads to {newurl!r:.80}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _get(url: str) -> bytes:
    opener = urllib.request.build_opener(_SameScheme)
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as answer:
            content: bytes = answer.read(_LARGEST_FILE + 1)
            if (
                answer.length and len(content) <= _LARGEST_FILE
            ):  # the rest of the content is missing
                raise http.client.IncompleteRead(content, answer.length)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"cannot fetch {url}: {error}; check the connection") from None
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{url} is larger than {_LARGEST_FILE:,} bytes: no file of a record")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
