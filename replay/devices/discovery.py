"""The devices that are there: serial ports, LSL streams, straps that advertise over Bluetooth LE.

A kind whose library is not installed is left out. Names and ids come from other machines: whoever
shows them makes them safe first.
"""

import logging
from importlib.util import find_spec
from typing import NamedTuple
from urllib.parse import quote

from pipeline.errors import DeviceError

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """A device that is there."""

    address: str
    what: str
    """What it calls itself, untrusted."""


def found_devices() -> list[Found]:
    """Return the devices of every kind, which takes some seconds where there is Bluetooth."""
    return [*_serial_ports(), *_lsl_streams(), *_straps()]


def only_device(found: list[Found]) -> str:
    """Return the address of the only device that was found.

    Raises:
        DeviceError: there is none, or more than one.
    """
    if len(found) == 1:
        return found[0].address
    there = f"there are {len(found)} devices" if found else "no device is attached"
    raise DeviceError(f"{there}: name one with --device, or try --device synthetic:")


def _serial_ports() -> list[Found]:
    from replay.devices.lines.serial_device import attached_ports

    return [Found(f"serial:{port}", "serial port") for port in attached_ports()]


def _lsl_streams() -> list[Found]:
    if find_spec("pylsl") is None:
        return []
    try:
        from replay.devices.lsl_stream import found_streams
    except (OSError, RuntimeError) as error:  # there is no liblsl for this machine
        logger.info("no LSL: %s", error)
        return []
    return [
        Found(f"lsl:?{key}={quote(value, safe='')}", f"LSL stream {name}")
        for key, value, name in found_streams()
    ]


def _straps() -> list[Found]:
    if find_spec("bleak") is None:
        return []
    from replay.devices.ble_device import found_straps
    from replay.devices.ble_frames import Movesense, PolarH10

    models = {one.advertised: one.model for one in (PolarH10, Movesense)}
    return [Found(address, f"Bluetooth LE, {name}") for address, name in found_straps(models)]
