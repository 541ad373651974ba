"""Devices by address: what ``monitor live --device`` accepts.

::

    serial:PATH?baud=115200&fs=250&gain=341&leads=I,II
    synthetic:?bpm=72&ectopic=0.05&sve=0&pause=0.01&noise=0.02&leadoff=0&fs=360&seed=1
    synthetic:?leads=I,II,V1&off=V1@30+20&noisy=II@60+10&reversed=I&swapped=I/V1@90+10

Every parameter is optional; the defaults of ``serial`` fit the sketch in docs/devices.md. Each
address also takes ``name=``, the name of the stream, which is otherwise the port's name or
``synthetic``. An address with an unknown part is refused, and the error lists the known ones.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.constants import MOST_LEADS, SAMPLING_RATE_LIMITS_HZ, STREAM_NAME
from pipeline.errors import ConfigError, DeviceError
from replay.headers import quoted
from replay.lead_sets.dipole import LEAD_VECTORS
from replay.lead_sets.troubles import KINDS, parse_troubles
from replay.leads import stream_name
from replay.signal_names import ECG, kind_named
from replay.source import Source

SERIAL_DEFAULTS: Final = {"baud": 115_200.0, "fs": 250.0, "gain": 341.0}
SERIAL_LIMITS: Final = {
    "baud": (300.0, 4_000_000.0),
    "fs": SAMPLING_RATE_LIMITS_HZ,
    "gain": (1e-3, 1e6),
}
SYNTHETIC_DEFAULTS: Final = {
    "bpm": 72.0,
    "ectopic": 0.0,
    "sve": 0.0,
    "pause": 0.0,
    "noise": 0.02,
    "leadoff": 0.0,
    "fs": 360.0,
    "seed": 1.0,
}
_WHOLE: Final = frozenset({"baud", "seed"})
MAX_ADDRESS_CHARACTERS: Final = 1000
KNOWN: Final = "serial:PATH?baud=&fs=&gain=&name= and synthetic:?bpm=&ectopic=&name="


def open_device(uri: str) -> Source:
    """Return the device at ``uri``, opened; the caller closes it.

    Raises:
        ConfigError: the address is malformed, or a value is out of its limits.
        DeviceError: the device is unknown, absent or busy.
    """
    scheme, colon, rest = uri.partition(":")
    if len(uri) > MAX_ADDRESS_CHARACTERS or not colon or scheme not in ("serial", "synthetic"):
        raise DeviceError(f"unknown device {quoted(uri)}: known are {KNOWN}")
    path, _, query = rest.partition("?")
    stream, query = _name(uri, query)
    texts, query = _texts(uri, query, ("leads", *KINDS) if scheme == "synthetic" else ("leads",))
    if scheme == "synthetic":
        from replay.devices.synthetic import PatientConfig, SyntheticSource

        if path:
            raise ConfigError(f"device {quoted(uri)}: 'synthetic:' has no path, only ?parameters")
        values = _parameters(uri, query, SYNTHETIC_DEFAULTS, ("leads", *KINDS))
        seed = int(values.pop("seed"))
        leads = _known_leads(uri, texts.pop("leads", "II"))
        troubles = tuple(
            trouble for kind, text in texts.items() for trouble in parse_troubles(kind, text, leads)
        )
        patient = PatientConfig(seed=seed, leads=leads, troubles=troubles, **values)
        return SyntheticSource(patient, stream=stream or "synthetic")
    from replay.devices.serial_device import SerialSource

    if not path or "\0" in path:
        raise ConfigError(f"device {quoted(uri)}: a path belongs here, as in serial:/dev/ttyUSB0")
    values = _parameters(uri, query, SERIAL_DEFAULTS, ("leads",))
    for name, (low, high) in SERIAL_LIMITS.items():
        if not low <= values[name] <= high:
            raise ConfigError(f"device {quoted(uri)}: {name} has to be {low:g} to {high:g}")
    return SerialSource(
        path,
        baud=int(values["baud"]),
        rate_hz=values["fs"],
        gain=values["gain"],
        stream=stream or stream_name(Path(path)),
        leads=_named_leads(uri, texts["leads"]) if "leads" in texts else ("serial",),
    )


def list_devices() -> list[str]:
    """Return the addresses of the devices attached to this machine."""
    from replay.devices.serial_device import attached_ports

    return [f"serial:{port}" for port in attached_ports()]


def only_device() -> str:
    """Return the address of the only device attached.

    Raises:
        DeviceError: there is none, or more than one; the error lists them.
    """
    found = list_devices()
    if len(found) == 1:
        return found[0]
    available = f"there are {', '.join(map(quoted, found))}" if found else "no device is attached"
    raise DeviceError(f"{available}: name one with --device, or try --device synthetic:")


def _name(uri: str, query: str) -> tuple[str, str]:
    """Return the stream's name in ``query``, empty for none, and the rest of the query."""
    parts = query.split("&") if query else []
    names = [part.removeprefix("name=") for part in parts if part.startswith("name=")]
    if len(names) > 1 or not all(re.fullmatch(STREAM_NAME, name) for name in names):
        raise ConfigError(
            f"device {quoted(uri)}: name= takes one name, up to 64 of letters, digits, . _ and -"
        )
    rest = "&".join(part for part in parts if not part.startswith("name="))
    return "".join(names), rest


def _texts(uri: str, query: str, names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return the parameters in ``query`` that are texts, each at most once, and the rest of it."""
    texts: dict[str, str] = {}
    rest = []
    for part in query.split("&") if query else []:
        name, equals, text = part.partition("=")
        if name not in names or not equals:
            rest.append(part)
        elif name in texts:
            raise ConfigError(f"device {quoted(uri)}: {name} is given twice")
        else:
            texts[name] = text
    return texts, "&".join(rest)


def _known_leads(uri: str, text: str) -> tuple[str, ...]:
    """Return the leads of a synthetic patient in ``text``, as they are written."""
    written = {lead.upper(): lead for lead in LEAD_VECTORS}
    leads = tuple(written.get(name.strip().upper(), "") for name in text.split(","))
    if "" in leads or len(set(leads)) < len(leads):
        known = ", ".join(LEAD_VECTORS)
        raise ConfigError(f"device {quoted(uri)}: leads= takes one or more of {known}, each once")
    return leads


def _named_leads(uri: str, text: str) -> tuple[str, ...]:
    """Return the names of the leads of a serial device in ``text``."""
    leads = tuple(name.strip() for name in text.split(","))
    where = f"device {quoted(uri)}"
    if not all(re.fullmatch(r"[A-Za-z0-9._+-]{1,16}", lead) for lead in leads):
        raise ConfigError(f"{where}: leads= takes names of up to 16 letters, digits and . _ + -")
    if len(leads) > MOST_LEADS or len(set(leads)) < len(leads):
        raise ConfigError(f"{where}: leads= takes {MOST_LEADS} names at most, no two alike")
    for lead in leads:
        if (kind := kind_named(lead, leads)) not in (ECG, ""):
            raise ConfigError(f"{where}: lead {quoted(lead)} is named like no ECG ({kind})")
    return leads


def _parameters(
    uri: str, query: str, defaults: dict[str, float], texts: Sequence[str] = ()
) -> dict[str, float]:
    """Return ``defaults`` updated by ``query`` (``a=1&b=2``)."""
    values: dict[str, float] = {}
    where = f"device {quoted(uri)}"
    for part in query.split("&") if query else []:
        name, equals, text = part.partition("=")
        if name not in defaults or not equals:
            known = ", ".join((*defaults, *texts, "name"))
            raise ConfigError(f"{where}: unknown {quoted(part)}; known are {known}")
        if name in values:
            raise ConfigError(f"{where}: {name} is given twice")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (name in _WHOLE and value != int(value)):
            kind = "whole number" if name in _WHOLE else "number"
            raise ConfigError(f"{where}: {name}={quoted(text)} is no {kind}")
        values[name] = value
    return defaults | values
