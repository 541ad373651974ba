"""Files that are there whole or not at all."""

import os
from pathlib import Path

from pipeline.errors import ConfigError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write ``path`` beside itself, then put it in its place; its folder is made where needed.

    Raises:
        ConfigError: it cannot be written; what was there before still is.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    raw = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(raw)
        os.replace(unfinished, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; name another place") from None
