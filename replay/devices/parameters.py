"""The address of a device, ``KIND:PATH?parameter=value&...``, and its checked parameters. Pure."""

import math
import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

from pipeline.constants import MOST_LEADS, STREAM_NAME
from pipeline.errors import ConfigError
from replay.headers import quoted
from replay.signal_names import ECG, kind_named

MAX_ADDRESS_CHARACTERS: Final = 1000


class Number(NamedTuple):
    """A parameter that is a number: its default and its limits."""

    default: float
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False


class Address:
    """An address, taken apart; every parameter is asked for once, then `refuse_others`."""

    def __init__(self, uri: str) -> None:
        """Take ``uri`` apart; it may be malformed in whatever its kind does not ask for."""
        self.kind, self.has_kind, rest = uri.partition(":")
        self.path, _, query = rest.partition("?")
        self.where = f"device {quoted(uri)}"
        self._parts = query.split("&") if query else []
        self._known: list[str] = []

    def text(self, name: str) -> str | None:
        """Return the text of a parameter; None where it is not given."""
        self._known.append(name)
        start = f"{name}="
        texts = [part.removeprefix(start) for part in self._parts if part.startswith(start)]
        if len(texts) > 1:
            raise ConfigError(f"{self.where}: {name} is given twice")
        self._parts = [part for part in self._parts if not part.startswith(start)]
        return texts[0] if texts else None

    def decoded(self, name: str) -> str | None:
        """Return the text of a parameter in which ``%26`` stands for ``&``, as in a URL."""
        text = self.text(name)
        return None if text is None else unquote(text)

    def given(self, name: str) -> bool:
        """Return whether a parameter is given, without asking for it."""
        return any(part.startswith(f"{name}=") for part in self._parts)

    def numbers(self, wanted: dict[str, Number]) -> dict[str, float]:
        """Return the values of parameters that are numbers, within their limits."""
        values = {}
        for name, (default, low, high, whole) in wanted.items():
            if (text := self.text(name)) is None:
                values[name] = default
                continue
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not math.isfinite(value) or (whole and value != int(value)):
                kind = "whole number" if whole else "number"
                raise ConfigError(f"{self.where}: {name}={quoted(text)} is no {kind}")
            if not low <= value <= high:
                raise ConfigError(f"{self.where}: {name} has to be {low:g} to {high:g}")
            values[name] = value
        return values

    def stream(self, default: str, parameter: str = "name") -> str:
        """Return the name of the stream: that in ``parameter``, or the default."""
        names = [part for part in self._parts if part.startswith(f"{parameter}=")]
        name = names[0].removeprefix(f"{parameter}=") if names else default
        if len(names) > 1 or not re.fullmatch(STREAM_NAME, name):
            raise ConfigError(
                f"{self.where}: {parameter}= takes one name, up to 64 of letters, digits, . _ and -"
            )
        return self.text(parameter) or default

    def names(self, name: str) -> tuple[str, ...]:
        """Return names of leads with commas between them; none where they are not given."""
        text = self.text(name)
        if text is None:
            return ()
        leads = tuple(one.strip() for one in text.split(","))
        if not all(re.fullmatch(r"[A-Za-z0-9._+-]{1,16}", lead) for lead in leads):
            raise ConfigError(
                f"{self.where}: {name}= takes names of up to 16 letters, digits and . _ + -"
            )
        self.check_leads(name, leads)
        return leads

    def check_leads(self, name: str, leads: Sequence[str]) -> None:
        """Raise `ConfigError` where leads are too many, alike, or named like no ECG."""
        if len(leads) > MOST_LEADS or len(set(leads)) < len(leads):
            raise ConfigError(
                f"{self.where}: {name}= takes {MOST_LEADS} names at most, no two alike"
            )
        for lead in leads:
            if (kind := kind_named(lead, leads)) not in (ECG, ""):
                raise ConfigError(
                    f"{self.where}: lead {quoted(lead)} is named like no ECG ({kind})"
                )

    def refuse_others(self) -> None:
        """Raise `ConfigError` for a parameter that was not asked for."""
        if self._parts:
            raise ConfigError(
                f"{self.where}: unknown {quoted(self._parts[0])}; "
                f"known are {', '.join(self._known)}"
            )
