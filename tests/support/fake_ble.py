"""A Bluetooth LE backend in memory: a strap with the vendor's characteristics, fed by the test."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError


class FakeBle(BaseBleakClient):
    """One model of strap; a subclass for each test, which holds what all its connections share."""

    characteristics: ClassVar[dict[str, list[CharacteristicPropertyName]]] = {}
    answer: ClassVar[tuple[str, bytes]]
    """Characteristic and bytes of the answer to a command."""
    in_reach: ClassVar[bool] = True
    written: ClassVar[list[bytes]]
    current: ClassVar["FakeBle | None"] = None
    started: ClassVar[threading.Event]

    def __init__(self, address: Any, **settings: Any) -> None:
        settings = {k: settings[k] for k in ("disconnected_callback", "timeout")}
        super().__init__(address, **settings)
        self._connected = False
        self._callbacks: dict[str, Callable[[bytearray], None]] = {}

    @property
    def mtu_size(self) -> int:
        """Enough for 73 samples of a Polar."""
        return 232

    @property
    def is_connected(self) -> bool:
        """Whether it is."""
        return self._connected

    async def connect(self, pair: bool, **_: Any) -> None:
        """Connect, and discover the services."""
        if not type(self).in_reach:
            raise BleakError(f"Device with address {self.address} was not found")
        self._loop = asyncio.get_running_loop()
        self.services = BleakGATTServiceCollection()
        service = BleakGATTService(None, 1, "0000180d-0000-1000-8000-00805f9b34fb")
        self.services.add_service(service)
        for handle, (uuid, properties) in enumerate(self.characteristics.items(), 2):
            self.services.add_characteristic(
                BleakGATTCharacteristic(None, handle, uuid, properties, lambda: 20, service)
            )
        self._connected = True
        type(self).current = self

    async def disconnect(self) -> None:
        """Disconnect."""
        self._connected = False

    async def pair(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    async def unpair(self) -> None:
        """Nothing."""

    async def read_gatt_char(self, *_: Any, **__: Any) -> bytearray:
        """Nothing to read."""
        return bytearray()

    async def read_gatt_descriptor(self, *_: Any, **__: Any) -> bytearray:
        """Nothing to read."""
        return bytearray()

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: Any, response: bool
    ) -> None:
        """Take the command, and answer."""
        type(self).written.append(bytes(data))
        uuid, answer = type(self).answer
        self._callbacks[uuid](bytearray(answer))
        type(self).started.set()

    async def write_gatt_descriptor(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: Any, **_: Any
    ) -> None:
        """Keep who is to be told."""
        self._callbacks[characteristic.uuid] = callback

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Forget who is to be told."""
        self._callbacks.pop(characteristic.uuid, None)

    @classmethod
    def send(cls, uuid: str, *frames: bytes) -> None:
        """Notify, from any thread."""
        one = cls.current
        assert one is not None
        for frame in frames:
            one._loop.call_soon_threadsafe(one._callbacks[uuid], bytearray(frame))

    @classmethod
    def lose(cls, *, in_reach: bool = False) -> None:
        """Break the connection, from any thread."""
        one = cls.current
        assert one is not None
        cls.in_reach = in_reach
        cls.started.clear()
        one._connected = False
        assert one._disconnected_callback is not None
        one._loop.call_soon_threadsafe(one._disconnected_callback)


def fake_strap(control: str, data: str, answer: tuple[str, bytes], *others: str) -> type[FakeBle]:
    """Return the backend of a strap that nobody has connected to."""
    characteristics: dict[str, list[CharacteristicPropertyName]] = {
        control: ["write", "indicate"],
        data: ["notify"],
        **{other: ["notify"] for other in others},
    }
    members = {
        "characteristics": characteristics,
        "answer": answer,
        "written": [],
        "started": threading.Event(),
        "in_reach": True,
        "current": None,
    }
    return type("Strap", (FakeBle,), members)
