"""What goes wrong with single leads of a synthetic patient, and when.

In the address of a device, several with commas between them::

    off=V1@30+20        the electrode of V1 is off from second 30 on, for 20 s
    noisy=II@60+10      muscle and motion hide II from second 60 on, for 10 s
    reversed=I          the two cables of I are exchanged, all the time
    swapped=I/V1@10+5   what is called I is V1, and the other way round

Pure. Units: mV, seconds, samples.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError

KINDS: Final = ("off", "noisy", "reversed", "swapped")

NOISY_MV: Final = 0.9
"""Muscle noise of a noisy lead, mV rms: as high as its R waves."""

_SECONDS: Final = r"(\d{1,7}(?:\.\d{1,3})?)"
_ONE = re.compile(rf"(\w{{1,16}})(?:/(\w{{1,16}}))?(?:@{_SECONDS}\+{_SECONDS})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class LeadTrouble:
    """One trouble of one lead."""

    kind: str
    """One of `KINDS`."""
    lead: str
    begin_s: float = 0.0
    lasting_s: float = float("inf")
    other: str = ""
    """The lead that it is swapped with."""

    def during(self, t_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return at which of these times it is there."""
        return np.asarray((t_s >= self.begin_s) & (t_s < self.begin_s + self.lasting_s))


def parse_troubles(kind: str, text: str, leads: Sequence[str]) -> list[LeadTrouble]:
    """Return the troubles of a kind in ``text``, of a patient with these leads.

    Raises:
        ConfigError: the text is none, or there is no such lead.
    """
    canonical = {lead.upper(): lead for lead in leads}
    found = []
    for one in text.split(","):
        match = _ONE.fullmatch(one)
        if match is None or bool(match[2]) != (kind == "swapped"):
            example = "I/V1@30+20" if kind == "swapped" else "V1@30+20"
            raise ConfigError(f"{kind}={one[:40]!r}: write a lead, second and duration: {example}")
        names = [canonical.get(name.upper()) for name in (match[1], match[2] or match[1])]
        if None in names or (kind == "swapped" and names[0] == names[1]):
            raise ConfigError(f"{kind}={one[:40]!r}: leads={','.join(leads)} are the ones there")
        begin_s, lasting_s = (float(match[3]), float(match[4])) if match[3] else (0.0, float("inf"))
        lead, other = (str(name) for name in names)
        other = other if kind == "swapped" else ""
        found.append(LeadTrouble(kind, lead, begin_s, lasting_s, other))
    return found


def exchanged(
    z: NDArray[np.float64],
    t_s: NDArray[np.float64],
    leads: Sequence[str],
    troubles: Sequence[LeadTrouble],
) -> NDArray[np.float64]:
    """Return the samples ``z``, float64[leads, n], with leads reversed and swapped at times."""
    for trouble in troubles:
        row = leads.index(trouble.lead)
        during = trouble.during(t_s)
        if trouble.kind == "reversed":
            z[row] = np.where(during, -z[row], z[row])
        elif trouble.kind == "swapped":
            other = leads.index(trouble.other)
            z[row], z[other] = (
                np.where(during, z[other], z[row]),
                np.where(during, z[row], z[other]),
            )
    return z


def lost(
    t_s: NDArray[np.float64], leads: Sequence[str], troubles: Sequence[LeadTrouble]
) -> NDArray[np.bool_]:
    """Return where which lead is off, bool[leads, n]."""
    off = np.zeros((len(leads), t_s.size), dtype=bool)
    for trouble in troubles:
        if trouble.kind == "off":
            off[leads.index(trouble.lead)] |= trouble.during(t_s)
    return off
