"""Read the files of a model as what they are: something that anybody may have put there.

A file is read if it is regular, small enough and no pickle, whose reading would run what it
holds. Files in `SHIPPED` have to be, byte for byte, those that the repository pins: their SHA-256
stand in ``SHA256SUMS`` beside them, as ``sha256sum --check`` reads it. ``python -m
models.files.model_file`` writes that list anew, after a training.
"""

import hashlib
import re
from pathlib import Path
from typing import Final

from models.files.atomic_write import write_atomically
from pipeline.errors import ArtifactError

SHIPPED: Final = Path(__file__).parents[1] / "weights"
PINNED: Final = SHIPPED / "SHA256SUMS"

_MAX_PINNED_BYTES: Final = 65_536
_LINE: Final = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)?)")
_PICKLES: Final = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))
"""How files of torch.save begin, new and old, and every pickle of a protocol since 2."""

_SAFETENSORS: Final = b"\0\0\0\0\0\0{"
"""What follows the first two bytes of a safetensors file, the low ones of its header's length. They
may be those of a pickle; no pickle goes on like this, for 0 is no opcode."""


def read_model_file(path: Path, limit: int, remedy: str) -> bytes:
    """Return a file of at most ``limit`` bytes.

    Args:
        path: a file of weights, or of what describes them.
        limit: larger ones are not read.
        remedy: what a person does about a file that is refused.

    Raises:
        ArtifactError: it is missing, too large, no regular file, a pickle, or was shipped and is
            no longer what the repository pins.
    """
    try:
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; {remedy}")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}; {remedy}") from None
    if len(content) > limit:
        raise ArtifactError(f"{path} is larger than {limit} bytes: no file of ours; {remedy}")
    refuse_pickle(path, content, remedy)
    if path.resolve().is_relative_to(SHIPPED.resolve()):
        name = path.resolve().relative_to(SHIPPED.resolve()).as_posix()
        if _pinned().get(name) != hashlib.sha256(content).hexdigest():
            raise ArtifactError(f"{path} is not the file that {PINNED.name} pins; {remedy}")
    return content


def refuse_pickle(path: Path, head: bytes, remedy: str) -> None:
    """Raise `ArtifactError` for a file that begins like a pickle, or like an archive of some."""
    if head.startswith(_PICKLES) and not head.startswith(_SAFETENSORS, 2):
        raise ArtifactError(
            f"{path} is a pickle, which can run whatever it holds, and is never read; {remedy}"
        )


def pin() -> None:
    """Write the SHA-256 of every file that ships.

    Raises:
        ConfigError: the list cannot be written.
    """
    files = sorted({*SHIPPED.rglob("*.json"), *SHIPPED.rglob("*.safetensors")})
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(SHIPPED).as_posix()}\n"
        for file in files
    ]
    write_atomically(PINNED, "".join(lines))


def _pinned() -> dict[str, str]:
    """Return the SHA-256 of each shipped file by its name; none where the list cannot be read."""
    try:
        with PINNED.open("rb") as file:
            text = file.read(_MAX_PINNED_BYTES).decode("ascii", "replace")
    except OSError:
        return {}
    return {found[2]: found[1] for line in text.splitlines() if (found := _LINE.fullmatch(line))}


if __name__ == "__main__":
    pin()
