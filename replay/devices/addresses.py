"""Devices by address: what ``--device`` accepts.

::

    serial:PATH?baud=115200&fs=250&gain=341&leads=I,II      or the path alone, /dev/ttyUSB0
    stdin:?fs=250&unit=mV&column=2                          or a dash alone
    ble:polar-h10?address=A0:9E:1A:12:34:56                 or ble:movesense?fs=250
    brainflow:cyton?serial_port=/dev/ttyUSB0&channels=1,2   and any other board of BrainFlow
    lsl:?source_id=ID&unit=uV&stream=ward3                   or lsl:?name=NAME
    synthetic:?bpm=72&ectopic=0.05&sve=0&pause=0.01&noise=0.02&leadoff=0&fs=360&seed=1
    synthetic:?leads=I,II,V1&off=V1@30+20&noisy=II@60+10&reversed=I&swapped=I/V1@90+10

Every parameter is optional; the defaults of ``serial`` fit the sketch in docs/devices.md. Each
address also takes ``name=``, the name of the stream. An address with an unknown part is refused,
and the error lists the known ones.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.constants import SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import ConfigError, DeviceError
from replay.devices.parameters import MAX_ADDRESS_CHARACTERS, Address, Number
from replay.headers import quoted
from replay.lead_sets.dipole import LEAD_VECTORS
from replay.lead_sets.troubles import KINDS, parse_troubles
from replay.leads import MV_PER_UNIT, stream_name
from replay.source import Source

if TYPE_CHECKING:
    from replay.devices.lines.text_source import LineFormat

BAUD: Final = {"baud": Number(115_200, 300, 4_000_000, whole=True)}
LINES: Final = {"fs": Number(250, *SAMPLING_RATE_LIMITS_HZ), "gain": Number(341, 1e-3, 1e6)}
SYNTHETIC: Final = {
    "bpm": Number(72),
    "ectopic": Number(0),
    "sve": Number(0),
    "pause": Number(0),
    "noise": Number(0.02),
    "leadoff": Number(0),
    "fs": Number(360),
    "seed": Number(1, whole=True),
}
BRAINFLOW_TEXTS: Final = (
    *("serial_port", "mac_address", "ip_address", "serial_number", "other_info"),
    *("file", "master_board"),
)
BRAINFLOW_NUMBERS: Final = {
    "ip_port": Number(0, 0, 65_535, whole=True),
    "timeout": Number(0, 0, 600, whole=True),
}
STANDARD_INPUT: Final = ("-", "stdin:")
"""What an address of standard input begins with, before a question mark."""
UNITS: Final = ("uV", "mV", "V")

Opener = Callable[[], Source]
"""Opens a device."""


def open_device(uri: str) -> Source:
    """Return the device at ``uri``, opened; the caller closes it.

    Raises:
        ConfigError: the address is malformed, or a value is out of its limits.
        DeviceError: the device is unknown, absent or busy.
        ModuleNotFoundError: the library of such devices is not installed.
    """
    return opener_of(uri)()


def opener_of(uri: str) -> Opener:
    """Return what opens the device at ``uri``, of which all but its presence is checked.

    Raises:
        ConfigError: the address is malformed, or a value is out of its limits.
        DeviceError: the kind of device is unknown.
        ModuleNotFoundError: the library of such devices is not installed.
    """
    address = Address(full_address(uri))
    parse = KINDS_OF_DEVICES.get(address.kind)
    if len(uri) > MAX_ADDRESS_CHARACTERS or not address.has_kind or parse is None:
        raise DeviceError(f"unknown device {quoted(uri)}: known are {KNOWN}")
    return parse(address)


def openers_of(uris: Sequence[str]) -> list[Opener]:
    """Return what opens each of the devices at ``uris``; raises as `opener_of`."""
    if sum(full_address(uri).startswith(STANDARD_INPUT[1]) for uri in uris) > 1:
        raise ConfigError("standard input is one device: name it once")
    return [opener_of(uri) for uri in uris]


def open_devices(uris: Sequence[str]) -> list[Source]:
    """Return the devices at ``uris``, opened; raises as `open_device`, and closes them all then."""
    sources: list[Source] = []
    openers = openers_of(uris)
    try:
        for opener in openers:
            sources.append(opener())
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def full_address(uri: str) -> str:
    """Return an address with its kind: an absolute path is a serial line, a dash stdin."""
    if uri.partition("?")[0] == STANDARD_INPUT[0]:
        return f"stdin:{uri[1:]}"
    if uri.startswith("/") or re.match(r"COM\d+(\?|$)", uri):
        return f"serial:{uri}"
    return uri


def _synthetic(address: Address) -> Opener:
    from replay.devices.synthetic import PatientConfig, SyntheticSource

    if address.path:
        raise ConfigError(f"{address.where}: 'synthetic:' has no path, only ?parameters")
    values = address.numbers(SYNTHETIC)
    leads = _known_leads(address)
    texts = {kind: address.text(kind) for kind in KINDS}
    stream = address.stream("synthetic")
    address.refuse_others()
    troubles = tuple(
        trouble
        for kind, text in texts.items()
        if text is not None
        for trouble in parse_troubles(kind, text, leads)
    )
    seed = int(values.pop("seed"))
    patient = PatientConfig(seed=seed, leads=leads, troubles=troubles, **values)
    return partial(SyntheticSource, patient, stream=stream)


def _serial(address: Address) -> Opener:
    from replay.devices.lines.serial_device import SerialSource

    if not address.path or "\0" in address.path:
        raise ConfigError(f"{address.where}: a path belongs here, as in serial:/dev/ttyUSB0")
    baud = int(address.numbers(BAUD)["baud"])
    form = _line_format(address, "serial")
    stream = address.stream(stream_name(Path(address.path)))
    address.refuse_others()
    return partial(SerialSource, address.path, form, baud=baud, stream=stream)


def _standard_input(address: Address) -> Opener:
    from replay.devices.lines.standard_input import StandardInput

    if address.path:
        raise ConfigError(f"{address.where}: 'stdin:' has no path, only ?parameters")
    form = _line_format(address, "stdin")
    stream = address.stream("stdin")
    address.refuse_others()
    return partial(StandardInput, form, stream=stream)


def _ble(address: Address) -> Opener:
    from replay.devices.ble_device import BleSource
    from replay.devices.ble_frames import Movesense, PolarH10, Strap

    models = (PolarH10.model, Movesense.model)
    if address.path not in models:
        raise ConfigError(f"{address.where}: known are {' and '.join(f'ble:{m}' for m in models)}")
    strap: Strap = PolarH10()
    if address.path == Movesense.model:
        rate = int(address.numbers({"fs": Number(125, 125, 512, whole=True)})["fs"])
        if rate not in Movesense.rates:
            known = ", ".join(map(str, Movesense.rates))
            raise ConfigError(f"{address.where}: fs is one of {known}")
        strap = Movesense(rate)
    place = address.text("address")
    if place is not None and not re.fullmatch(r"[0-9A-Fa-f:-]{12,36}", place):
        raise ConfigError(f"{address.where}: address= is like A0:9E:1A:12:34:56")
    stream = address.stream(address.path)
    address.refuse_others()
    return partial(BleSource, strap, place, stream=stream)


def _brainflow(address: Address) -> Opener:
    from replay.devices.brainflow_board import BrainFlowSource, KnownBoard

    texts = {name: address.decoded(name) for name in BRAINFLOW_TEXTS}
    numbers = address.numbers(BRAINFLOW_NUMBERS)
    given = {name: text for name, text in texts.items() if text is not None}
    given |= {name: str(int(number)) for name, number in numbers.items()}
    text = address.text("channels") or "1"
    if not re.fullmatch(r"[0-9]{1,3}(,[0-9]{1,3}){0,11}", text):
        raise ConfigError(f"{address.where}: channels= takes numbers of ECG channels from 1")
    channels = [int(one) for one in text.split(",")]
    leads = address.names("leads") or tuple(f"ecg{channel}" for channel in channels)
    if len(leads) != len(channels) or len(set(channels)) < len(channels):
        raise ConfigError(f"{address.where}: channels= and leads= go together, each once")
    stream = address.stream(stream_name(Path(address.path)))
    address.refuse_others()
    board = KnownBoard(address.path, given, channels)
    return partial(BrainFlowSource, board, leads=leads, stream=stream)


def _lsl(address: Address) -> Opener:
    from replay.devices.lsl_stream import LslSource

    if address.path:
        raise ConfigError(f"{address.where}: 'lsl:' has no path, only ?name= or ?source_id=")
    source_id, name = address.decoded("source_id"), address.decoded("name")
    unit = address.text("unit")
    if unit is not None and unit not in UNITS:
        raise ConfigError(f"{address.where}: unit= is one of {', '.join(UNITS)}")
    stream = address.stream(stream_name(Path(name or source_id or "lsl")), "stream")
    address.refuse_others()
    return partial(LslSource, source_id=source_id, name=name, unit=unit, stream=stream)


def _line_format(address: Address, lead: str) -> "LineFormat":
    """Return what an address says of the lines of a device."""
    from replay.devices.lines.text_source import LineFormat

    if address.given("unit") and address.given("gain"):
        raise ConfigError(
            f"{address.where}: unit= is for values in volts and gain= for those of a converter: "
            "give one of them"
        )
    values = address.numbers(LINES)
    unit = address.text("unit")
    if unit is not None and unit not in UNITS:
        raise ConfigError(f"{address.where}: unit= is one of {', '.join(UNITS)}")
    leads = address.names("leads") or (lead,)
    text = address.text("column")
    columns = () if text is None else tuple(one.strip() for one in text.split(","))
    if not all(re.fullmatch(r"[ -~]{1,32}", column) for column in columns):
        raise ConfigError(f"{address.where}: column= takes the number of a column, or its label")
    if columns and len(columns) != len(leads):
        raise ConfigError(
            f"{address.where}: column= and leads= go together, a column for each lead"
        )
    return LineFormat(
        rate_hz=values["fs"],
        gain=values["gain"] if unit is None else 1 / MV_PER_UNIT[unit.lower()],
        leads=leads,
        columns=columns,
        decimals=unit is not None,
    )


def _known_leads(address: Address) -> tuple[str, ...]:
    """Return the leads of a synthetic patient, as they are written."""
    text = address.text("leads")
    written = {lead.upper(): lead for lead in LEAD_VECTORS}
    leads = tuple(written.get(name.strip().upper(), "") for name in (text or "II").split(","))
    if text == "" or "" in leads or len(set(leads)) < len(leads):
        known = ", ".join(LEAD_VECTORS)
        raise ConfigError(f"{address.where}: leads= takes one or more of {known}, each once")
    return leads


KINDS_OF_DEVICES: Final[dict[str, Callable[[Address], Opener]]] = {
    "ble": _ble,
    "brainflow": _brainflow,
    "lsl": _lsl,
    "serial": _serial,
    "stdin": _standard_input,
    "synthetic": _synthetic,
}
KNOWN: Final = (
    "serial:PATH?baud=&fs=&gain=&name=, stdin:?fs=&unit=, lsl:?source_id=, "
    "ble:polar-h10?address=, ble:movesense?address=&fs=, "
    "brainflow:BOARD?serial_port=&channels=, "
    "synthetic:?bpm=&ectopic=&name="
)
