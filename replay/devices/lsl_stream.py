"""A stream of the Lab Streaming Layer as a source of samples.

LSL carries no sequence numbers: a loss shows in the time stamps alone (`StampedSignal`). The
stamps, corrected to our clock, say when each sample was taken. An outlet that comes back is
connected to again, by its ``source_id`` where it has one, and what it kept meanwhile comes late.

The only user of pylsl. Units: mV out, samples, seconds. Not thread-safe.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pylsl

from pipeline.errors import DeviceError
from pipeline.signal.samples import SampleBlock
from replay.devices.lsl_description import (
    MOST_CHANNELS,
    Channel,
    Leads,
    checked_rate,
    ecg_leads,
)
from replay.devices.lsl_stamps import Piece, StampedSignal
from replay.devices.packet_positions import PacketPositions
from replay.devices.reconnecting import FaultReports, Retries
from replay.headers import quoted
from replay.pacing import BLOCK_S, LONGEST_WAIT_S, wait_s
from replay.source import SourceInfo, SourceReport

FIND_S: Final = 5.0
"""A stream that does not answer within is not there."""
_ROUND_S: Final = 0.5
_CORRECT_S: Final = 5.0
"""How often the difference of the clocks is asked for; liblsl measures it in the background."""
_MOST_SAMPLES: Final = 4096
_ANSWER_S: Final = 5.0
"""A stream that was found answers within, or it is gone again."""
_CONFIGURATIONS: Final = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")


def keep_quiet() -> None:
    """Keep the messages of liblsl off stderr, unless there is a configuration that may want them.

    To be called before anything else of LSL: it reads its configuration once.
    """
    files = [os.environ.get("LSLAPICFG", ""), *_CONFIGURATIONS]
    if not any(file and Path(file).expanduser().is_file() for file in files):
        pylsl.set_config_content("[log]\nlevel = -2\n")


def found_streams(seconds: float = 1.0) -> list[tuple[str, str, str]]:
    """Return ``source_id`` or ``name``, its value, and a name of each stream that may be an ECG."""
    keep_quiet()
    found = []
    for info in pylsl.resolve_streams(seconds):
        if info.nominal_srate() > 0 and info.type().upper() in ("", "ECG", "EKG", "EXG"):
            key = "source_id" if info.source_id() else "name"
            value = info.source_id() or info.name()
            found.append((key, value, f"{info.name()} on {info.hostname()}"))
    return sorted(found)


class LslSource:
    """A stream as a `replay.source.Source`; the constructor finds and opens it.

    ``source_id`` and ``name`` choose among the streams that there are; ``unit`` is that of channels
    whose unit is not described. Raises `DeviceError` if none or several fit, and for one that is no
    ECG in volts at a regular rate.
    """

    def __init__(
        self,
        *,
        source_id: str | None,
        name: str | None,
        unit: str | None,
        stream: str,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = wait_s,
    ) -> None:
        keep_quiet()
        self._source_id, self._name, self._unit = source_id, name, unit
        self._clock = clock
        wanted = source_id if source_id is not None else name
        self._where = f"LSL stream {quoted(wanted)}" if wanted is not None else "LSL stream"
        self._retries = Retries(clock, wait)
        self._inlet: Any = None
        self._correction_s = self._correct_at_s = 0.0
        self._leads, rate_hz = self._connect(FIND_S)
        self._info = SourceInfo(stream=stream, fs_hz=rate_hz, leads=self._leads.names)
        self._scale = np.array(self._leads.mv_per_unit)[:, None]
        self._positions = PacketPositions(rate_hz)
        self._stamped = StampedSignal(rate_hz, self._channels)
        self._next = 0
        self._closed = False
        self._read_s = clock()
        self._reports = FaultReports(stream, self._read_s)

    @property
    def info(self) -> SourceInfo:
        """Return the stream's name, and rate and leads of its description."""
        return self._info

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield samples as they arrive, None while there are none."""
        few = max(1, round(self._info.fs_hz * BLOCK_S))
        while not self._closed:
            if self._inlet is None:
                self._reconnect()
                yield None
                continue
            try:
                samples, stamps = self._inlet.pull_chunk(
                    LONGEST_WAIT_S, _MOST_SAMPLES, min_samples=few, as_numpy=True
                )
            except pylsl.util.LostError:
                self._drop()
                self._retries.lost()
                yield None
                continue
            if len(stamps):
                self._read_s = self._clock()
                pieces = self._stamped.push(np.asarray(samples), np.asarray(stamps))
            else:
                pieces = self._stamped.release()
            block = None
            for block in map(self._block, pieces):
                yield block
            if block is None:
                yield None

    def _block(self, piece: Piece) -> SampleBlock:
        """Return samples in mV, in their place."""
        with np.errstate(invalid="ignore", over="ignore"):
            mv = (piece.samples.T[list(self._leads.rows)] * self._scale).astype(np.float32)
        n = mv.shape[1]
        missing = self._positions.missing_before(n, self._clock(), counted=piece.missing)
        first = self._next + missing
        self._next = first + n
        stamp_s = piece.stamp_s + self._correction() + time.time() - pylsl.local_clock()
        return SampleBlock(
            first_sample=first,
            samples=mv[0] if len(mv) == 1 else mv,
            stamp_s=stamp_s if 0 < stamp_s < 2**33 else None,
        )

    def _correction(self) -> float:
        """Return what to add to the outlet's stamps, in seconds, for those of our clock."""
        if self._read_s >= self._correct_at_s:
            self._correct_at_s = self._read_s + _CORRECT_S
            with contextlib.suppress(pylsl.util.TimeoutError, pylsl.util.LostError):
                self._correction_s = float(self._inlet.time_correction(0.01))
        return self._correction_s

    def _connect(self, patience_s: float) -> tuple[Leads, float]:
        """Find the stream and open it; return its leads and its rate."""
        inlet = pylsl.StreamInlet(self._found(patience_s), recover=True)
        try:
            info = inlet.info(_ANSWER_S)
            rate_hz = checked_rate(self._where, info.nominal_srate())
            if info.channel_format() == pylsl.cf_string:
                raise DeviceError(f"{self._where} consists of texts: it is no ECG")
            leads = ecg_leads(self._where, described_channels(info), self._unit)
            self._channels = int(info.channel_count())
            inlet.open_stream(_ANSWER_S)
            self._correction_s = float(inlet.time_correction(_ANSWER_S))
        except (pylsl.util.TimeoutError, pylsl.util.LostError):
            raise DeviceError(f"{self._where} does not answer: start its program again") from None
        self._correct_at_s = self._clock() + _CORRECT_S
        self._inlet = inlet
        return leads, rate_hz

    def _found(self, patience_s: float) -> Any:
        """Return the only stream that is wanted."""
        until_s = self._clock() + patience_s
        while True:
            there = pylsl.resolve_streams(_ROUND_S)
            fitting = [info for info in there if self._is_wanted(info)]
            if len(fitting) == 1:
                return fitting[0]
            if len(fitting) > 1:
                ids = ", ".join(quoted(info.source_id() or info.name()) for info in fitting[:8])
                raise DeviceError(f"several LSL streams fit: {ids}: choose one with source_id=")
            if self._clock() >= until_s:
                break
        names = ", ".join(quoted(info.source_id() or info.name()) for info in there[:8])
        are = f"there are {names}" if names else "there is none on this network"
        raise DeviceError(f"{self._where} is not there: {are}")

    def _is_wanted(self, info: Any) -> bool:
        if self._source_id is None and self._name is None:
            return str(info.type()).upper() in ("ECG", "EKG")
        return (self._source_id is None or info.source_id() == self._source_id) and (
            self._name is None or info.name() == self._name
        )

    def _reconnect(self) -> None:
        if not self._retries.due():
            return
        try:
            leads, rate_hz = self._connect(0.0)
        except DeviceError:
            self._retries.failed()
            return
        if leads != self._leads or rate_hz != self._info.fs_hz:
            raise DeviceError(f"{self._where} has other channels or another rate: start it again")
        self._read_s = self._clock()

    def report(self) -> SourceReport | None:
        """Return what is new: a fault, or its end."""
        return self._reports.of_connection(
            self._clock(),
            None if self._inlet is None else self._read_s,
            closed=self._closed,
            gone=f"{self._where} is gone: start its program again, it is looked for",
            silent=f"{self._where} sends nothing: check its program and the network",
        )

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing: past samples of a stream are lost."""

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        if self._inlet is not None:
            self._inlet.close_stream()
            self._inlet = None


def described_channels(info: Any) -> list[Channel]:
    """Return the channels of a description, as many as its samples have."""
    channels: list[Channel] = []
    node = info.desc().child("channels").child("channel")
    count = info.channel_count()
    if not 1 <= count <= MOST_CHANNELS:
        raise DeviceError(f"an LSL stream of {count} channels is no ECG")
    while not node.empty() and len(channels) < count:
        texts = (node.child_value(key)[:64] for key in ("label", "unit", "type"))
        channels.append(Channel(*texts))
        node = node.next_sibling("channel")
    type_ = str(info.type())[:64] if str(info.type()).upper() in ("ECG", "EKG") else ""
    channels += [Channel("", "", "")] * (count - len(channels))
    return [one._replace(type=one.type or type_) for one in channels]
