"""A subscriber's position in the log, and the file that keeps it.

The file always holds an old position or a new one, never half of one, and its owner alone can read
or write it. One writer; a position that was stored survives a power cut.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.files import create_new, read_regular
from pipeline.schema.requests import LONGEST_LINK

_MOST_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Position:
    """How far a subscriber has read: every alert up to ``seq`` of the log ``log_id``."""

    log_id: str = ""
    """Empty before any log is known."""
    seq: int = 0
    link: str = ""
    """Of the chain, after that alert: it proves that the log is still the one that was read. Empty
    where it is not known, as in positions of earlier versions."""

    def __post_init__(self) -> None:
        """Refuse what cannot be the number of an alert."""
        if not 0 <= self.seq <= 2**62:
            raise ValueError(f"seq {self.seq}")


def load_position(path: Path) -> Position:
    """Return the position in ``path``; the one before the first alert if the file does not exist.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        body = read_regular(path, _MOST_BYTES)
    except FileNotFoundError:
        return Position()
    except OSError as error:
        raise ConfigError(f"cannot read the position {path}: {error.strerror}") from None
    try:
        return _position(json.loads(body))
    except (ValueError, RecursionError):
        raise ConfigError(
            f"{path} holds no position: name another file, or remove it to read the log again"
        ) from None


def _position(value: object) -> Position:
    """Return ``value`` as a position; raise `ValueError` if it is none."""
    match value:
        case {"log_id": str(log_id), "seq": int(seq), **rest} if (
            not isinstance(seq, bool) and log_id.isascii()
        ):
            match rest.get("link", ""):
                case str(link) if link.isascii() and len(link) <= LONGEST_LINK:
                    return Position(log_id, seq, link)
    raise ValueError


def store_position(path: Path, position: Position) -> None:
    """Replace the content of ``path`` by ``position``.

    Raises:
        ConfigError: the file cannot be written; its old content is still there.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(create_new(beside, 0o600), "wb") as file:
            file.write(json.dumps(asdict(position)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        # The new name is durable only once the folder is.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"cannot write the position {path}: {error.strerror}") from None
