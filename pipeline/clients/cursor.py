"""The file in which a subscriber keeps its position: always an old or a new one, never half of one.

One writer. A position that was stored survives a power cut.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.schema.position import Position

_MOST_BYTES = 4_096


def load_position(path: Path) -> Position:
    """Return the position in ``path``; that of a reader who has read nothing if there is no file.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        # O_NONBLOCK: nobody waits for whoever might write into a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            body = file.read(_MOST_BYTES) or b""
    except FileNotFoundError:
        return Position()
    except OSError as error:
        raise ConfigError(f"cannot read the position {path}: {error.strerror}") from None
    try:
        return _position(json.loads(body))
    except (ValueError, RecursionError):
        raise ConfigError(
            f"{path} holds no position: name another file, or remove it to read the log anew"
        ) from None


def _position(value: object) -> Position:
    """Return the position that ``value`` is; raise `ValueError` if it is none."""
    match value:
        case {"log_id": str(log_id), "seq": int(seq)} if (
            not isinstance(seq, bool) and log_id.isascii()
        ):
            return Position(log_id, seq)
    raise ValueError


def store_position(path: Path, position: Position) -> None:
    """Put ``position`` in the place of what ``path`` holds.

    Raises:
        ConfigError: the file cannot be written; what it held is still there.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
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
