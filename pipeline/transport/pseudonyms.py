"""Keyed pseudonyms in place of the names of streams.

A source that has the key sends each stream under HMAC-SHA-256 of its name, as ``p-`` and ten
characters of base32 (50 bits: among 100,000 names the chance that any two share one is 4 in
a million). One key always gives a name the same pseudonym, another key another one. Names of
records are short and easily guessed, so a hash without a key would hide nothing. Whoever has the
key can compute the pseudonym of a name, and nobody can compute the name of a pseudonym.

The key is in a file of its own with mode 0600, which is created with this mode and refused with
another one. It is in no argument, environment variable, log or error text. No sockets here.
"""

import base64
import hmac
import re
import secrets
from pathlib import Path
from typing import Final, Self

from pipeline.constants import STREAM_NAME
from pipeline.errors import KeysError
from pipeline.transport.secret_file import read_secret_file, write_secret_file

PREFIX: Final = "p-"

_TITLE: Final = "ecg-monitor pseudonym key 1"
_KEY_BYTES: Final = 32
_CHARACTERS: Final = 10

_QUOTED: Final = re.compile(r"""['"](?:.*['"]|.*$)""", re.DOTALL)
"""Everything from the first quotation mark to the last one, or to the end of a cut text."""


class Pseudonyms:
    """The pseudonyms under one key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key in ``path``.

        Raises:
            KeysError: it is missing or damaged, belongs to another user, or others can read it.
        """
        key = read_secret_file(
            path,
            _TITLE,
            rf"[0-9a-f]{{{2 * _KEY_BYTES}}}",
            absent=f"no key {path}: make one with monitor keys pseudonyms {path}",
            damaged=f"{path} is damaged, or no key of pseudonyms",
        )
        return cls(bytes.fromhex(key))

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a key and write it to ``path``, which must not exist.

        Raises:
            KeysError: the file exists, or cannot be written.
        """
        key = secrets.token_bytes(_KEY_BYTES)
        write_secret_file(
            path,
            _TITLE,
            key.hex(),
            exists=f"{path} exists: with a new key every stream would get another pseudonym; "
            "to see pseudonyms, name streams behind it",
        )
        return cls(key)

    def of(self, stream: str) -> str:
        """Return the pseudonym of a stream's name.

        Raises:
            KeysError: no stream can have this name.
        """
        if re.fullmatch(STREAM_NAME, stream) is None:
            raise KeysError(
                f"{stream[:80]!r} is no name of a stream: 1 to 64 of A-Z a-z 0-9 . _ - "
                "(in the name of a record, _ stands for each other character)"
            )
        digest = hmac.digest(self._key, stream.encode("ascii"), "sha256")
        return PREFIX + base64.b32encode(digest).decode("ascii")[:_CHARACTERS].lower()


def without_quotations(text: str) -> str:
    """Return a text about a device without what it quotes: a path, or what the device sent."""
    return _QUOTED.sub("'…'", text)
