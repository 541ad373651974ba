"""A subscriber's position in the log, and the file that keeps it.

The file always holds an old position or a new one, never half of one, and its owner alone can read
or write it. One writer; a position that was stored survives a power cut.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.files import read_regular, replace_file
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
    try:
        replace_file(path, json.dumps(asdict(position)).encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"cannot write the position {path}: {error.strerror}") from None
