"""The token that opens a wall: 160 random bits, in a file that its owner alone can read.

It is written in base32 with hyphens, so that somebody can type it into a television. It is in no
argument, address, environment variable, log or error text. What a browser keeps is not the token
but a session, which is made from it: another token ends all sessions.
"""

import base64
import hashlib
import hmac
import re
import secrets
from pathlib import Path
from typing import Final

from pipeline.transport.secret_file import read_secret_file, write_secret_file

SESSION_S: Final = 30 * 24 * 3600
"""A browser need not show the token again for so long."""

_TITLE: Final = "ecg-monitor wall token 1"
_BYTES: Final = 20


class Token:
    """One token; knows its sessions."""

    __slots__ = ("_key", "_text")

    def __init__(self, text: str) -> None:
        self._text = _bare(text)
        self._key = hashlib.sha256(b"session\0" + self._text.encode()).digest()

    @classmethod
    def load(cls, path: Path) -> "Token":
        """Read the token in ``path``.

        Raises:
            KeysError: it is missing or damaged, belongs to another user, or others can read it.
        """
        token = read_secret_file(
            path,
            _TITLE,
            r"(?:[\s-]*[A-Za-z2-7]){32}[\s-]*",
            absent=f"no token {path}: make one with monitor keys token {path}",
            damaged=f"{path} is damaged, or no token of a wall: make a new one",
        )
        return cls(token)

    @classmethod
    def create(cls, path: Path) -> "Token":
        """Make a token and write it to ``path``, which must not exist.

        Raises:
            KeysError: the file exists, or cannot be written.
        """
        text = base64.b32encode(secrets.token_bytes(_BYTES)).decode("ascii").lower()
        spelled = "-".join(text[at : at + 4] for at in range(0, len(text), 4))
        write_secret_file(
            path,
            _TITLE,
            spelled,
            exists=f"{path} exists: choose another name, or delete it first, which ends all "
            "sessions",
        )
        return cls(spelled)

    def matches(self, text: str) -> bool:
        """Return whether somebody presented this token, in any spelling."""
        return hmac.compare_digest(_bare(text).encode(), self._text.encode())

    def session(self, utc_s: float) -> str:
        """Return a session that begins at ``utc_s``, in seconds since 1970."""
        until = str(int(utc_s) + SESSION_S)
        return f"{until}.{self._signed(until)}"

    def opens(self, session: str, utc_s: float) -> bool:
        """Return whether a session is one of this token, and not over."""
        until, _, signature = session[:128].partition(".")
        if re.fullmatch(r"[0-9]{1,12}", until) is None or not signature.isascii():
            return False
        signed = hmac.compare_digest(signature, self._signed(until))
        return signed and utc_s < int(until) <= utc_s + 2 * SESSION_S

    def _signed(self, until: str) -> str:
        return hmac.new(self._key, until.encode("ascii"), "sha256").hexdigest()


def _bare(text: str) -> str:
    """Return a token without the hyphens and blanks of its spelling."""
    return re.sub(r"[\s-]", "", text[:256]).lower()
