"""Sections of a document on disk that a command writes, between two comments that name them.

``<!-- noise: written by a command -->`` begins the section ``noise``, ``<!-- end of noise -->``
ends it. The text outside is written by a person and never touched.
"""

from collections.abc import Sequence
from pathlib import Path

from models.evaluation.report.documents import Section
from models.evaluation.report.markdown import markdown
from models.files.atomic_write import write_atomically
from pipeline.errors import ConfigError


def split_at_section(file: Path, name: str) -> tuple[str, str]:
    """Return the text before and after that of a section, both with their comment.

    Raises:
        ConfigError: the file cannot be read, or does not hold the section exactly once.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise ConfigError(f"cannot read the document {file}: {why}; name another") from None
    begin, end = f"<!-- {name}: written by a command -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or begin in rest or end in before + after:
        raise ConfigError(
            f"{file} has no place for the section {name!r}: it needs one line {begin.strip()!r} "
            f"and one {end!r}"
        )
    return before + begin, end + after


def replace_section(file: Path, name: str, sections: Sequence[Section]) -> None:
    """Write ``sections`` in the place of a section; the document changes whole or not at all.

    Raises:
        ConfigError: as `split_at_section`, or the file cannot be written.
    """
    before, after = split_at_section(file, name)
    write_atomically(file, f"{before}\n{markdown(sections).strip()}\n\n{after}")
