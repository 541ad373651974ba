"""Where the samples of a serial device lie in the stream.

Losses show in the positions of the blocks, which follow the device's own count; a gap is never
closed:

* Missing numbers leave a gap of that many samples, unless the following line shows that the number
  was damaged. A repeated number is dropped.
* After a silence, a disconnection or a restart of its count, the clock decides how far the position
  advances. Without numbers, only a silence of over a second can be recognised as a loss.
* Lines that come out of order, before or after their time by seconds, are skipped; they do not move
  what follows. A count that goes on from there for over a second is that of a device that
  restarted.
* Lines whose number is not plausible are skipped and counted (`PositionTracker.implausible`).
* Where lines carry the device's time in place of a number, what is missing follows from that.

Pure: time is an argument. Units: samples, seconds.
"""

from typing import Final

from replay.devices.lines.serial_lines import SEQUENCE_MODULUS, TIME_MODULUS, Reading
from replay.devices.packet_positions import PacketPositions

SILENCE_S: Final = 1.0
"""Without numbers, a longer silence is a gap; with them, the tolerance of a plausible number."""

DISORDER_S: Final = 10.0
"""Numbers that are off by up to this much signal are of lines out of order."""

ANOTHER_COUNT_S: Final = 1.0
"""Unless the count goes on from there for this long: what was held up comes in a burst."""


class PositionTracker:
    """Assigns each reading its position in the stream. Pure: time is an argument."""

    def __init__(self, rate_hz: float) -> None:
        self.implausible = 0
        """Number of readings skipped because of their sequence number."""
        self._rate_hz = rate_hz
        self._position = -1
        self._sequence: int | None = None
        self._unconfirmed: int | None = None
        """The number that would confirm another count."""
        self._unconfirmed_since = 0.0
        """When the first number of that count came."""
        self._deferred: tuple[Reading, int, float] | None = None
        """A reading whose number skips some, its distance from the last one, and its time. The next
        reading shows whether the number was damaged."""
        self._last_s: float | None = None
        self._use_clock = False
        self._by_time = PacketPositions(rate_hz)
        self._device_us: int | None = None
        """The device's time of the latest reading that had one, unwrapped."""

    @property
    def placed_any(self) -> bool:
        """Whether a reading has a position already."""
        return self._position >= 0

    def reconnected(self) -> None:
        """Place the next reading by the clock: its number does not continue the last one."""
        self._use_clock = True
        self._unconfirmed = self._deferred = None

    def track(self, reading: Reading, now_s: float) -> list[tuple[int, Reading]]:
        """Return the readings whose positions are known now; positions ascend.

        That is a deferred reading, if this one confirms it, and then this reading, unless it is
        skipped or deferred itself.
        """
        if reading.device_us is not None:
            return [
                *self.release(),
                self._assign(reading, self._timed_step(reading.device_us, now_s), now_s),
            ]
        placed = []
        if self._deferred is not None:
            if self._lies_before(self._deferred[0], reading):
                placed = self.release()
            else:
                self.implausible += 1
                self._deferred = None
        step = self._step(reading.sequence, now_s)
        if step is None:
            return placed
        if step > 1 and not self._use_clock and self._is_by_number(reading.sequence, step):
            self._deferred = reading, step, now_s
            return placed
        return [*placed, self._assign(reading, step, now_s)]

    def release(self) -> list[tuple[int, Reading]]:
        """Place the deferred reading, if there is one: no later reading contradicts it."""
        if self._deferred is None:
            return []
        deferred, self._deferred = self._deferred, None
        return [self._assign(*deferred)]

    def _timed_step(self, device_us: int, now_s: float) -> int:
        """Return how many samples after the last one a reading of that time is."""
        if self._device_us is None:
            self._device_us = device_us
        else:
            ahead = (device_us - self._device_us) % TIME_MODULUS
            self._device_us += ahead - TIME_MODULUS * (ahead > TIME_MODULUS // 2)
        return 1 + self._by_time.missing_before(1, now_s, device_s=self._device_us / 1e6)

    def _assign(self, reading: Reading, step: int, now_s: float) -> tuple[int, Reading]:
        self._position += step
        self._sequence = reading.sequence
        self._last_s = now_s
        self._use_clock = False
        self._unconfirmed = None
        return self._position, reading

    def _lies_before(self, deferred: Reading, reading: Reading) -> bool:
        """Return whether ``deferred`` lies between the last reading placed and this one."""
        if reading.sequence is None or deferred.sequence is None or self._sequence is None:
            return True
        from_last = (reading.sequence - self._sequence) % SEQUENCE_MODULUS
        from_ahead = (reading.sequence - deferred.sequence) % SEQUENCE_MODULUS
        return from_ahead <= from_last

    def _is_by_number(self, sequence: int | None, step: int) -> bool:
        """Return whether ``step`` follows from the number of a reading, not from the clock."""
        if sequence is None or self._sequence is None:
            return False
        return (sequence - self._sequence - step) % SEQUENCE_MODULUS == 0

    def _step(self, sequence: int | None, now_s: float) -> int | None:
        """Return how many samples after the last reading this one is; None to skip it."""
        if self._last_s is None:
            return 1
        elapsed = (now_s - self._last_s) * self._rate_hz
        by_clock = max(1, round(elapsed))
        if self._use_clock:
            return by_clock
        if sequence is None or self._sequence is None:
            return by_clock if elapsed > SILENCE_S * self._rate_hz else 1
        step = (sequence - self._sequence) % SEQUENCE_MODULUS
        if step == 0:
            return None
        if step <= 1 + elapsed + SILENCE_S * self._rate_hz:
            # The numbers may wrap around during a silence: the clock decides how often.
            return step + SEQUENCE_MODULUS * max(0, round((elapsed - step) / SEQUENCE_MODULUS))
        if self._is_another_count(sequence, step, now_s):
            return by_clock
        self.implausible += 1
        return None

    def _is_another_count(self, sequence: int, step: int, now_s: float) -> bool:
        """Return whether a number that does not continue the count confirms another one.

        It may also be damaged, which the next number shows, or of a line out of order.
        """
        expected, self._unconfirmed = self._unconfirmed, (sequence + 1) % SEQUENCE_MODULUS
        if sequence != expected:
            self._unconfirmed_since = now_s
            return False
        off = min(step, SEQUENCE_MODULUS - step)
        silence_s = self._unconfirmed_since - (self._last_s or 0.0)
        # After a silence a device has most probably restarted: lines of its present come in order.
        in_disorder = off <= DISORDER_S * self._rate_hz and silence_s <= SILENCE_S
        return not in_disorder or now_s - self._unconfirmed_since >= ANOTHER_COUNT_S
