"""How many samples are missing between two packets of a device. Pure: time is an argument.

A packet may say how many came before it, or when its last sample was taken, by the device's own
clock. Only differences of such times count, for the clock of a device may show any date. Times
jitter where they are those of arrival, and they jump where a clock was set. So what they say is
believed only if it does not put the samples ahead of our clock; else our clock decides how long
a silence was.

Units: seconds, samples.
"""

import math
from typing import Final

SILENCE_S: Final = 1.0
"""By our clock alone, only a longer silence is a loss."""

AHEAD_S: Final = 1.0
"""A packet cannot be this far ahead of our clock: its count or its time is wrong."""

_BACK_S: Final = 1.0
"""A time that goes back by more is of a clock that was set; by less, it jitters."""

_LEAK: Final = 1e-3
"""Share by which the device's clock may be slow: what seems late then is not."""

_JITTER_HALVES_S: Final = 60.0
"""The jitter that was seen is half forgotten after this much signal."""


class PacketPositions:
    """Finds the losses before the packets of one device."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._next = 0
        self._last_s: float | None = None
        self._device_s: float | None = None
        self._soonest_s = math.inf
        """How long after its time in the stream a packet arrived, at the soonest."""
        self._jitter_s = 0.0
        self._reconnected = False

    def reconnected(self) -> None:
        """Place the next packet by our clock: its count and its time do not continue the last."""
        self._device_s = None
        self._reconnected = True

    def missing_before(
        self,
        n: int,
        now_s: float,
        *,
        device_s: float | None = None,
        counted: int | None = None,
    ) -> int:
        """Return how many samples are missing before a packet.

        Args:
            n: samples in the packet.
            now_s: when it arrived.
            device_s: when its last sample was taken, by the device's clock; None if unknown.
            counted: how many are missing by the device's own count; None if unknown.
        """
        elapsed_s = 0.0 if self._last_s is None else now_s - self._last_s
        latest_s = self._soonest_s + _LEAK * elapsed_s
        lost = counted
        if device_s is not None and lost is None:
            lost = self._by_time(device_s, n / self._rate_hz)
        if lost is not None and lost > 0:
            lag_s = now_s - (self._next + lost + n) / self._rate_hz
            if lag_s < latest_s - AHEAD_S:
                lost = None
        if lost is None or self._reconnected:
            silent = elapsed_s > SILENCE_S + n / self._rate_hz
            lost = round(elapsed_s * self._rate_hz) - n if silent else 0
        if self._last_s is None:
            lost = 0
        self._reconnected = False
        self._next += lost + n
        self._soonest_s = min(latest_s, now_s - self._next / self._rate_hz)
        self._last_s, self._device_s = now_s, device_s
        return lost

    def _by_time(self, device_s: float, length_s: float) -> int | None:
        """Return what is missing by the device's clock; None if that does not tell."""
        if self._device_s is None or not math.isfinite(device_s):
            return None
        gap_s = device_s - self._device_s - length_s
        self._jitter_s *= 0.5 ** (length_s / _JITTER_HALVES_S)
        if gap_s < -_BACK_S:
            return None
        if gap_s < 0:
            self._jitter_s = max(self._jitter_s, -gap_s)
            return 0
        # One and a half intervals between two samples are a loss, unless such times jitter.
        if gap_s <= max(0.5 / self._rate_hz, 2 * self._jitter_s):
            return 0
        samples = gap_s * self._rate_hz
        return round(samples) if samples < 2**52 else None
