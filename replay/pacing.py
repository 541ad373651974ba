"""When samples are due: by their number and the clock, never by adding up waits.

The n-th sample of a stream is due n / (rate x speed) seconds after the start, whatever happened
before, so delays never accumulate: an hour drifts by less than one block. A reader that was
delayed gets the samples that became due meanwhile, in blocks of bounded size.

The clock and the wait are parameters; tests replace them. Units: seconds, samples.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pipeline.errors import ConfigError
from pipeline.signal.samples import SampleBlock

BLOCK_S: Final = 0.02
"""Time that one block covers on the clock, by default."""

SPREAD_S: Final = 0.04
"""Time between the moments at which long blocks of many readers are due: a hub of many streams
reads as often."""

MAX_BLOCK_SAMPLES: Final = 3600
"""No block is longer, at any speed."""

LONGEST_WAIT_S: Final = 0.25
"""A source without samples yields None at least this often."""

SPEED_LIMITS: Final = (0.01, 10_000.0)


def wait_s(seconds: float) -> None:
    """Sleep; no other code of the project does."""
    time.sleep(seconds)


class Pacer:
    """Decides which samples are due. Time starts with the first call; not thread-safe.

    Without a wait it starts after that call where the clock is next a multiple of a block, or of
    the part of a long one that lasts about `SPREAD_S`: one such reader at the first part, the next
    one at the second. So those of many readers of one rate wake them once in that time, and not all
    of their long blocks are due at once.
    """

    _begun = itertools.count()
    """How many have started without a wait."""

    def __init__(
        self,
        rate_hz: float,
        speed: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] | None = wait_s,
        block_s: float = BLOCK_S,
    ) -> None:
        """Pace samples of ``rate_hz`` at ``speed``, None for as fast as they are asked for.

        Args:
            rate_hz: of the samples.
            speed: a multiple of real time.
            clock: in seconds.
            wait: sleeps; None for a reader that looks again by itself.
            block_s: time that one block covers on the clock.

        Raises:
            ConfigError: the speed is outside `SPEED_LIMITS`.
        """
        low, high = SPEED_LIMITS
        if speed is not None and not low <= speed <= high:
            raise ConfigError(f"speed {speed:g}: {low:g} to {high:,.0f} times, or 'max'")
        self._rate_hz = None if speed is None else rate_hz * speed
        self._clock = clock
        self._wait = wait
        self._block_s = block_s
        self._started_s: float | None = None
        self.due_at = 0.0
        """When the sample that was asked for last is due, by the clock, or the next ones."""

    @property
    def block_samples(self) -> int:
        """Return the length of a block, at most `MAX_BLOCK_SAMPLES`."""
        if self._rate_hz is None:
            return MAX_BLOCK_SAMPLES
        return max(1, min(MAX_BLOCK_SAMPLES, round(self._rate_hz * self._block_s)))

    def wait_for(self, sample: int) -> bool:
        """Return whether sample number ``sample`` is due, after up to `LONGEST_WAIT_S`."""
        if self._rate_hz is None:
            return True
        now_s = self._clock()
        if self._started_s is None:
            self._started_s = now_s
            if self._wait is None:
                block_s = self.block_samples / self._rate_hz
                steps = max(1, round(block_s / SPREAD_S))
                step_s = block_s / steps
                self._started_s = (math.ceil(now_s / step_s) + next(self._begun) % steps) * step_s
        self.due_at = self._started_s + sample / self._rate_hz
        missing_s = self.due_at - now_s
        if self._wait is None:
            return missing_s <= 0
        if missing_s > 0:
            self._wait(min(missing_s, LONGEST_WAIT_S))
        return missing_s <= LONGEST_WAIT_S

    def paced(
        self, blocks: Iterable[SampleBlock], closed: Callable[[], bool]
    ) -> Iterator[SampleBlock | None]:
        """Yield ``blocks``, the first samples that are paced, as they become due; None meanwhile.

        It ends with the blocks, or before the next one once ``closed`` returns true. With each
        block `due_at` is when another one of its length is due.
        """
        paced = 0
        for block in blocks:
            n = block.n
            while not self.wait_for(paced + n):
                if closed():
                    return
                yield None
            if closed():
                return
            paced += n
            if self._rate_hz is not None:
                self.due_at += n / self._rate_hz
            yield block


def parse_speed(text: str) -> float | None:
    """Return the speed in ``text``: a multiple of real time, or None for ``max``.

    Raises:
        ConfigError: it is neither.
    """
    if text == "max":
        return None
    low, high = SPEED_LIMITS
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not low <= speed <= high:
        raise ConfigError(f"speed {text!r}: write {low:g} to {high:,.0f} times, or max")
    return speed
