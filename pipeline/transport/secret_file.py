"""Files that hold one secret: a title, and the secret in the line below it. No sockets here.

Such a file is created with mode 0600, never given it afterwards, and refused with another one.
"""

import os
import re
from pathlib import Path
from typing import Final

from pipeline.errors import KeysError
from pipeline.transport.keystore import read_closed_file

_OTHERS: Final = 0o077
_CREDENTIAL: Final = 0o037
"""A service manager may let the group of the service read its credentials."""


def read_secret_file(path: Path, title: str, pattern: str, *, absent: str, damaged: str) -> str:
    """Return the secret in a file.

    Args:
        path: the file; no link.
        title: its first line.
        pattern: matches the whole secret.
        absent: says what to do where there is no such file.
        damaged: says what the file is not.

    Raises:
        KeysError: it is missing or damaged, belongs to another user, or others can read it.
    """
    if not os.path.lexists(path):
        raise KeysError(absent)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    provided = bool(folder) and path.parent == Path(str(folder))
    text = read_closed_file(
        path, forbidden=_CREDENTIAL if provided else _OTHERS, owners={0, os.geteuid()}
    )
    first, _, secret = text.rstrip("\n").partition("\n")
    if first != title or re.fullmatch(pattern, secret) is None:
        raise KeysError(damaged)
    return secret


def write_secret_file(path: Path, title: str, secret: str, *, exists: str) -> None:
    """Write a secret into a file that must not exist; ``exists`` says why where it does.

    Raises:
        KeysError: the file exists, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
            file.write(f"{title}\n{secret}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise KeysError(exists) from None
    except OSError as error:
        raise KeysError(f"cannot write {path}: {error.strerror}") from None
