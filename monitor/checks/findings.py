"""The findings of `monitor doctor`, each with its verdict. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    NOTE = "note"
    """It works, but the user should know."""
    FAULT = "fault"
    """The monitor does not work, or not safely, until this is fixed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    verdict: Verdict
    found: str
    advice: str = ""
    """What to do; empty where there is nothing to do, or ``found`` says it."""


def ok(found: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(Verdict.OK, found)


def note(found: str, advice: str = "") -> Finding:
    """Return a finding that the user should know."""
    return Finding(Verdict.NOTE, found, advice)


def fault(found: str, advice: str = "") -> Finding:
    """Return a finding that must be fixed, and how."""
    return Finding(Verdict.FAULT, found, advice)
