"""Write a file so that readers see all of it or its predecessor, never a part."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.files import replace_file


def replaceable_file(path: Path, *, read: Iterable[Path] = ()) -> Path:
    """Return the file that a write to ``path`` replaces: where its links lead.

    Raises:
        ConfigError: ``path`` is a device, a pipe or a folder, or one of the files that are
            ``read``.
    """
    real = path.resolve()
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file that could be replaced: name another place")
    if any(real == one.resolve() or _same(real, one) for one in read):
        raise ConfigError(f"{path} is itself being read or written: name another place")
    return real


def _same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file beside ``path``, then move it there; make its folder where needed.

    Raises:
        ConfigError: it cannot be written, or ``path`` is not a file; the file that was there
            before is unchanged.
    """
    path = replaceable_file(path)
    raw = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, raw, mode=0o666)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; name another place") from None
