"""What `monitor doctor` finds: one `Finding` a line, and how it is judged. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    """Works, but somebody should know."""
    FAULT = "fault"
    """The monitor does not work, or not safely, until this is put right."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    verdict: Verdict
    found: str
    advice: str = ""
    """What to do about it; empty where nothing is to be done, or ``found`` says it already."""


def ok(found: str) -> Finding:
    """Return that all is well."""
    return Finding(Verdict.OK, found)


def note(found: str, advice: str = "") -> Finding:
    """Return what somebody should know."""
    return Finding(Verdict.NOTE, found, advice)


def fault(found: str, advice: str = "") -> Finding:
    """Return what has to be put right, and how."""
    return Finding(Verdict.FAULT, found, advice)
