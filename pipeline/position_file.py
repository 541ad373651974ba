"""The file in which a subscriber keeps its position: always an old or a new one, never half of one.

One writer. A position that was stored survives a power cut.
"""

import os
from pathlib import Path

from pipeline.errors import ConfigError, WireError
from pipeline.position import Position
from pipeline.public import decode_position, encode_json

_MOST_BYTES = 4_096


def load_position(path: Path) -> Position:
    """Return the position in ``path``; that of a reader who has read nothing if there is no file.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            body = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return Position()
    except OSError as error:
        raise ConfigError(f"cannot read the position {path}: {error.strerror}") from None
    try:
        return decode_position(body)
    except WireError:
        raise ConfigError(
            f"{path} holds no position: name another file, or remove it to read the log anew"
        ) from None


def store_position(path: Path, position: Position) -> None:
    """Put ``position`` in the place of what ``path`` holds.

    Raises:
        ConfigError: the file cannot be written; what it held is still there.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(encode_json(position) + b"\n")
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
