"""A board that BrainFlow knows as a source of samples: any with ECG channels.

Losses show in the board's own count of packets, modulo 256; the times that BrainFlow gives are
those of arrival, in bursts. A board that sends nothing for some seconds is opened again.

The only user of brainflow. Units: mV out, samples, seconds. Not thread-safe.
"""

import contextlib
import importlib.resources
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from brainflow import board_shim
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import ConfigError, DeviceError
from pipeline.signal.samples import SampleBlock
from replay.devices.packet_positions import PacketPositions
from replay.devices.reconnecting import FaultReports, Retries
from replay.headers import quoted
from replay.pacing import BLOCK_S, wait_s
from replay.source import SourceInfo, SourceReport

logger = logging.getLogger(__name__)

COUNT_MODULUS: Final = 256
SILENT_S: Final = 5.0
"""After this long without samples a board is opened again."""
_BUFFERED: Final = 45_000
"""Samples that BrainFlow keeps for a reader that is late."""
_MV_PER_UV: Final = 1e-3

# brainflow 5.23 asks for the files of a module, which Python 3.11 refuses, and then for
# pkg_resources, which setuptools 82 no longer has. Later Pythons do not need this.
board_shim.files = lambda _: importlib.resources.files("brainflow")


def board_names() -> list[str]:
    """Return the names of the boards that have ECG channels."""
    board_shim.BoardShim.disable_board_logger()
    names = []
    for board in board_shim.BoardIds:
        with contextlib.suppress(board_shim.BrainFlowError, UnicodeDecodeError):
            if board_shim.BoardShim.get_board_descr(board).get("ecg_channels"):
                names.append(board.name.removesuffix("_BOARD").lower())
    return sorted(names)


def _board_id(name: str) -> int:
    wanted = name.upper().replace("-", "_")
    ids = board_shim.BoardIds.__members__
    for full in (wanted, f"{wanted}_BOARD", f"{wanted}_FILE_BOARD"):
        if full in ids:
            return int(ids[full].value)
    known = ", ".join(board_names())
    raise ConfigError(f"{quoted(name)} is no board of BrainFlow; with ECG: {known}")


class KnownBoard:
    """A board, and channels of it, that BrainFlow knows; nothing is opened."""

    def __init__(self, name: str, parameters: Mapping[str, str], channels: Sequence[int]) -> None:
        """Look the board up.

        Args:
            name: of the board.
            parameters: those of BrainFlow (``serial_port``, ``mac_address``, ...).
            channels: the ECG channels to take, counted from 1.

        Raises:
            ConfigError: there is no such board or channel, or a file without its board.
            DeviceError: its rate cannot be used.
        """
        board_shim.BoardShim.disable_board_logger()
        self.where = f"board {quoted(name)}"
        self.id = _board_id(name)
        self.parameters = board_shim.BrainFlowInputParams()
        for parameter, text in parameters.items():
            value: Any = text
            if parameter == "master_board":
                value = _board_id(text)
            elif isinstance(getattr(self.parameters, parameter), int):
                value = int(text)
            setattr(self.parameters, parameter, value)
        description = self._description()
        self.rate_hz = float(description["sampling_rate"])
        low, high = SAMPLING_RATE_LIMITS_HZ
        if not low <= self.rate_hz <= high:
            raise DeviceError(
                f"{self.where} takes {self.rate_hz:g} samples a second: {low:g} to {high:g} can be"
            )
        rows = description.get("ecg_channels") or []
        if not all(1 <= channel <= len(rows) for channel in channels):
            raise ConfigError(f"{self.where}: it has ECG channels 1 to {len(rows)}")
        self.rows = [rows[channel - 1] for channel in channels]
        self.count_row: int = description["package_num_channel"]

    def _description(self) -> dict[str, Any]:
        board = self.id
        if board == board_shim.BoardIds.PLAYBACK_FILE_BOARD.value:
            board = self.parameters.master_board
        try:
            description: dict[str, Any] = board_shim.BoardShim.get_board_descr(board)
        except board_shim.BrainFlowError:
            raise ConfigError(
                f"{self.where}: say which board made the file, as in master_board=synthetic"
            ) from None
        if not description.get("ecg_channels"):
            raise ConfigError(f"{self.where} has no ECG; with ECG: {', '.join(board_names())}")
        return description


class BrainFlowSource:
    """A board as a `replay.source.Source`; the constructor opens it.

    ``leads`` are the names of the board's channels. Raises `DeviceError` for a board that cannot be
    opened.
    """

    def __init__(
        self,
        board: KnownBoard,
        *,
        leads: Sequence[str],
        stream: str,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = wait_s,
    ) -> None:
        self._known, self._where = board, board.where
        self._clock, self._wait = clock, wait
        self._count: int | None = None
        self._info = SourceInfo(stream=stream, fs_hz=board.rate_hz, leads=tuple(leads))
        self._positions = PacketPositions(board.rate_hz)
        self._next = 0
        self._closed = False
        self._retries = Retries(clock, wait)
        self._board: Any = None
        self._open()
        self._read_s = clock()
        self._reports = FaultReports(stream, self._read_s)

    @property
    def info(self) -> SourceInfo:
        """Return the stream's name, and the rate of the board."""
        return self._info

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield samples as they arrive, None while there are none."""
        while not self._closed:
            if self._board is None:
                self._reopen()
                yield None
                continue
            self._wait(BLOCK_S)
            try:
                data = self._board.get_board_data()
            except board_shim.BrainFlowError as error:
                self._lose(str(error))
                yield None
                continue
            now_s = self._clock()
            if not data.shape[1]:
                if now_s - self._read_s > SILENT_S:
                    self._lose("it sends nothing")
                yield None
                continue
            self._read_s = now_s
            yield from self._blocks_of(data)

    def _blocks_of(self, data: NDArray[np.float64]) -> Iterator[SampleBlock]:
        """Yield the samples, divided where the count of packets leaves some out."""
        with np.errstate(invalid="ignore", over="ignore"):
            mv = (data[self._known.rows] * _MV_PER_UV).astype(np.float32)
            counts = data[self._known.count_row].astype(np.int64) % COUNT_MODULUS
        before = counts[0] - 1 if self._count is None else self._count
        skipped = (np.diff(counts, prepend=before) - 1) % COUNT_MODULUS
        # Some boards begin again before 256: a count that falls to 0 is no loss.
        skipped[(counts == 0) | (skipped == COUNT_MODULUS - 1)] = 0
        self._count = int(counts[-1])
        starts = sorted({0, *np.flatnonzero(skipped).tolist()})
        read_at = time.time()
        for start, end in zip(starts, [*starts[1:], mv.shape[1]], strict=True):
            first = self._next + self._positions.missing_before(
                end - start, self._read_s, counted=int(skipped[start])
            )
            self._next = first + end - start
            yield SampleBlock(
                first,
                mv[0, start:end] if len(mv) == 1 else mv[:, start:end],
                stamp_s=read_at if end == mv.shape[1] else None,
            )

    def report(self) -> SourceReport | None:
        """Return what is new: a fault, or its end."""
        return self._reports.of_connection(
            self._clock(),
            None if self._board is None else self._read_s,
            closed=self._closed,
            gone=f"{self._where} is gone: switch it on and plug it in; it is looked for",
            silent=f"{self._where} sends nothing: check its power and its cable",
        )

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing: past samples of a device are lost."""

    def close(self) -> None:
        """Release the board; safe to call twice."""
        self._closed = True
        self._release()

    def _open(self) -> None:
        board = board_shim.BoardShim(self._known.id, self._known.parameters)
        try:
            board.prepare_session()
            board.start_stream(_BUFFERED)
        except board_shim.BrainFlowError as error:
            with contextlib.suppress(board_shim.BrainFlowError):
                board.release_session()
            raise DeviceError(
                f"{self._where} cannot be opened ({quoted(error)}): check that it is on, and its "
                "parameters, such as serial_port="
            ) from None
        self._board = board

    def _lose(self, why: str) -> None:
        logger.warning("%s is lost: %s", self._where, quoted(why))
        self._release()
        self._retries.lost()

    def _reopen(self) -> None:
        if not self._retries.due():
            return
        try:
            self._open()
        except DeviceError:
            self._retries.failed()
            return
        self._count = None
        self._read_s = self._clock()
        self._positions.reconnected()

    def _release(self) -> None:
        if self._board is not None:
            with contextlib.suppress(board_shim.BrainFlowError):
                self._board.release_session()
            self._board = None
