"""A chest strap over Bluetooth LE as a source of samples.

A thread of its own runs the loop in which the connection lives. It connects again whenever the
connection is lost, for as long as the source is read. A loss of frames shows in the device's own
time (`PacketPositions`), never in the moment at which they arrive.

The only user of bleak. Units: mV out, samples, seconds. `close` may be called from any thread.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

import numpy as np
from bleak import BleakClient, BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.exc import BleakError

from pipeline.errors import DeviceError
from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from replay.devices.ble_frames import HEART_RATE, Strap, without_contact
from replay.devices.packet_positions import PacketPositions
from replay.devices.reconnecting import FIRST_RETRY_S, LONGEST_RETRY_S, FaultReports
from replay.headers import quoted
from replay.pacing import LONGEST_WAIT_S
from replay.source import SourceInfo, SourceReport

logger = logging.getLogger(__name__)
logging.getLogger("bleak").setLevel(logging.ERROR)  # a missing tool is no concern of the user

CONNECT_S: Final = 20.0
_ANSWER_S: Final = 5.0
SCAN_S: Final = 4.0
_MOST_WAITING: Final = 4096
"""Frames; of more the oldest are lost, which is a gap."""
_ERRORS: Final = (BleakError, OSError, TimeoutError, EOFError)


def found_straps(models: dict[str, str], seconds: float = SCAN_S) -> list[tuple[str, str]]:
    """Return address and name of each strap that advertises; none without Bluetooth.

    ``models`` has the model of what a name begins with.
    """
    try:
        devices = asyncio.run(BleakScanner.discover(seconds))
    except _ERRORS as error:
        logger.info("no Bluetooth: %s", error)
        return []
    return sorted(
        (f"ble:{model}?address={device.address}", str(device.name))
        for device in devices
        for advertised, model in models.items()
        if (device.name or "").startswith(advertised)
    )


class BleSource:
    """A strap as a `replay.source.Source`; the constructor connects to it.

    Without an ``address`` it takes the only one that advertises. Raises `DeviceError` if there is
    none, or it refuses to measure. A later loss is not an error: the source waits until it is back.
    """

    def __init__(
        self,
        strap: Strap,
        address: str | None,
        *,
        stream: str,
        backend: type[BaseBleakClient] | None = None,
        clock: Callable[[], float] = time.monotonic,
        connect_s: float = CONNECT_S,
    ) -> None:
        self._strap, self._address, self._backend = strap, address, backend
        self._clock, self._connect_s = clock, connect_s
        self._where = f"{strap.advertised} {quoted(address)}" if address else strap.advertised
        self._info = SourceInfo(stream=stream, fs_hz=strap.rate_hz, leads=("ecg",))
        self._positions = PacketPositions(strap.rate_hz)
        self._next = 0
        self._lead_off = False
        self._unreadable = 0
        self._connected = False
        self._closed = False
        self._arrived: queue.Queue[tuple[float, float, str, bytes]] = queue.Queue(_MOST_WAITING)
        """Time, date, characteristic and bytes of each notification."""
        self._failure: Exception | None = None
        """What ended the thread."""
        self._opened: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.create_task(self._keep_connected())
        self._thread = threading.Thread(target=self._run, name=f"ble {stream}", daemon=True)
        self._thread.start()
        try:
            self._opened.result()
        except BaseException:
            self.close()
            raise
        self._read_s = clock()
        self._reports = FaultReports(stream, self._read_s)

    @property
    def info(self) -> SourceInfo:
        """Return the stream's name and the rate of the model."""
        return self._info

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield each frame as it arrives, None while there are none."""
        while not self._closed:
            try:
                now_s, date_s, kind, data = self._arrived.get(timeout=LONGEST_WAIT_S)
            except queue.Empty:
                if self._failure is not None:
                    raise self._failure from None
                yield None
                continue
            if kind == HEART_RATE:
                self._lead_off = without_contact(data)
                continue
            frame = self._strap.decode(data)
            if frame is None:
                self._unreadable += 1
                yield None
            elif n := frame.mv.size:
                self._read_s = now_s
                first = self._next + self._positions.missing_before(
                    n, now_s, device_s=frame.device_s
                )
                self._next = first + n
                flags = np.full(n, FLAG_LEAD_OFF, np.uint8) if self._lead_off else None
                yield SampleBlock(first, frame.mv, flags, stamp_s=date_s)

    def report(self) -> SourceReport | None:
        """Return what is new: a fault, its end, or frames that could not be read."""
        return self._reports.of_connection(
            self._clock(),
            self._read_s if self._connected else None,
            closed=self._closed,
            gone=f"{self._where} is out of reach: wear it, and stay near; it is looked for",
            silent=f"{self._where} sends no ECG: check its battery and the strap",
            unreadable=self._unreadable,
        )

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing: past samples of a device are lost."""

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        self._closed = True
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._connection.cancel)
        self._thread.join()

    def _run(self) -> None:
        """Keep the connection, until told to stop; in the thread."""
        try:
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._connection)
        except Exception as error:
            self._failure = error
            if not self._opened.done():
                self._opened.set_exception(error)
        finally:
            self._loop.close()

    async def _keep_connected(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self._session()
                retry_s = FIRST_RETRY_S
            except (*_ERRORS, DeviceError) as error:
                if not self._opened.done():
                    raise self._absence(error) from None
                logger.info("%s: %s", self._where, error)
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
            finally:
                self._connected = False
            await asyncio.sleep(retry_s)

    def _absence(self, error: BaseException) -> DeviceError:
        if isinstance(error, DeviceError):
            return error
        if isinstance(error, (FileNotFoundError, ConnectionError)):
            return DeviceError(
                f"{self._where}: this computer has no Bluetooth service: install and start one, "
                "such as BlueZ"
            )
        text = str(error) or type(error).__name__
        return DeviceError(
            f"{self._where} is not there ({quoted(text)}): switch Bluetooth on, wear the strap "
            "with wet electrodes, and end other programs that use it"
        )

    async def _session(self) -> None:
        """Connect, start the ECG, and return when the connection is lost."""
        gone = asyncio.Event()
        client = BleakClient(
            await self._target(),
            disconnected_callback=lambda _: gone.set(),
            timeout=self._connect_s,
            backend=self._backend,
        )
        async with client:
            await self._start(client)
            self._connected = True
            if not self._opened.done():
                self._opened.set_result(None)
            await gone.wait()

    async def _target(self) -> Any:
        """Return what to connect to: the address, or the only strap that advertises."""
        if self._address is not None:
            return self._address
        device = await BleakScanner.find_device_by_filter(
            lambda device, _: (device.name or "").startswith(self._strap.advertised),
            timeout=self._connect_s,
        )
        if device is None:
            raise BleakError("none advertises")
        return device

    async def _start(self, client: BleakClient) -> None:
        answered: asyncio.Queue[str] = asyncio.Queue()

        def take(kind: str, _: object, notified: bytearray) -> None:
            data = bytes(notified)
            refusal = self._strap.refusal(data) if kind != HEART_RATE else None
            if refusal is not None:
                answered.put_nowait(refusal)
            if kind in (HEART_RATE, self._strap.data):
                self._keep(kind, data)

        kinds = {self._strap.data, HEART_RATE}
        # The control point of a Polar answers; the Movesense answers where its data come.
        for kind in [*sorted(kinds), self._strap.control]:
            there = client.services.get_characteristic(kind)
            if there is None and kind != HEART_RATE:
                raise DeviceError(f"{self._where} is no {self._strap.advertised}: it lacks the ECG")
            if there is None or not {"notify", "indicate"} & set(there.properties):
                continue
            await client.start_notify(there, partial(take, kind))
        await client.write_gatt_char(self._strap.control, self._strap.command(), response=True)
        refusal = await asyncio.wait_for(answered.get(), _ANSWER_S)
        if refusal:
            raise DeviceError(f"{self._where}: {refusal}")

    def _keep(self, kind: str, data: bytes) -> None:
        item = (self._clock(), time.time(), kind, data)
        while True:
            try:
                self._arrived.put_nowait(item)
                return
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._arrived.get_nowait()
