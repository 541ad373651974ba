"""Parts of a document that a command writes, between two comments that name them.

``<!-- noise: written by a command -->`` begins the part ``noise``, ``<!-- end of noise -->`` ends
it. What stands outside is a person's and is never touched.
"""

from pathlib import Path

from models.files.atomic_write import write_atomically
from pipeline.errors import ConfigError


def split_at_section(file: Path, name: str) -> tuple[str, str]:
    """Return what stands before and behind the text of a part, both with its comment.

    Raises:
        ConfigError: the file cannot be read, or does not hold the part exactly once.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise ConfigError(f"cannot read the document {file}: {why}; name another") from None
    begin, end = f"<!-- {name}: written by a command -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, behind = rest.partition(end)
    if not found or not closed or begin in rest or end in before + behind:
        raise ConfigError(
            f"{file} has no place for the part {name!r}: it wants one line {begin.strip()!r} and "
            f"one {end!r}"
        )
    return before + begin, end + behind


def replace_section(file: Path, name: str, text: str) -> None:
    """Put ``text`` in the place of a part; the document changes whole or not at all.

    Raises:
        ConfigError: as `split_at_section`, or the file cannot be written.
    """
    before, behind = split_at_section(file, name)
    write_atomically(file, f"{before}\n{text.strip()}\n\n{behind}")
