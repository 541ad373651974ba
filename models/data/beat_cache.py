"""Streamed beats kept as files between runs, outside of the repository.

To stream a record takes a second or two; a trial of a classifier on all records takes as many
minutes. A file is used again only where all that made it is the same: the record, the code of the
signal and of the scores, the weights and the calibration. Its name is the SHA-256 over these. The
files are numpy's, without pickle.
"""

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Final

import numpy as np

from models.data.streamed_beats import Models, StreamedBeats, stream_beats
from pipeline.errors import ConfigError
from replay.headers import header_path

_SOURCES: Final = Path(__file__).parents[2]
_FOLDERS: Final = ("pipeline/signal", "pipeline/scoring")
_FILES: Final = (
    "pipeline/alarms/atrial_fibrillation.py",
    "models/data/measured_beats.py",
    "models/data/streamed_beats.py",
    "models/inference/student.py",
    "models/weights/student.json",
    "models/weights/live_score.json",
)


def code_digest() -> str:
    """Return the SHA-256 over the code, weights and calibration that streamed beats depend on."""
    digest = hashlib.sha256()
    files = [file for folder in _FOLDERS for file in (_SOURCES / folder).rglob("*")]
    for file in sorted([*files, *(_SOURCES / name for name in _FILES)]):
        if file.suffix in (".py", ".json", ".safetensors"):
            digest.update(f"{file.relative_to(_SOURCES)} {file.stat().st_size}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def cached_beats(
    path: Path, models: Models, folder: Path | None, code: str, leads: str | None = None
) -> StreamedBeats:
    """Return the streamed beats of a record, from a file in ``folder`` where there is one.

    Args:
        path: of the record.
        models: those that ship; others have no place in the name of the file.
        folder: None keeps nothing.
        code: as `code_digest` returns it.
        leads: of the record, as `stream_beats` takes them.

    Raises:
        InputError: the record cannot be used.
        LeadError: it has no such lead.
        ConfigError: the folder cannot be written.
    """
    if folder is None:
        return stream_beats(path, models, leads)
    file = folder / f"{path.parent.name}-{path.name}-{_key(path, code, leads)[:24]}.npz"
    if file.is_file():
        with np.load(file, allow_pickle=False) as kept:
            return StreamedBeats(**{one.name: kept[one.name] for one in fields(StreamedBeats)})
    beats = stream_beats(path, models, leads)
    partial = file.with_suffix(".partial.npz")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(partial, **{one.name: getattr(beats, one.name) for one in fields(StreamedBeats)})
        partial.replace(file)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
    return beats


def _key(path: Path, code: str, leads: str | None) -> str:
    digest = hashlib.sha256(f"{code} {leads}".encode())
    for extension in ("hea", "dat"):
        digest.update(header_path(path).with_suffix(f".{extension}").read_bytes())
    return digest.hexdigest()
