"""Which windows go to which scorer, and when: batches, credit, and second chances.

Windows wait in order of arrival. A batch leaves as soon as a scorer has credit and the batch is
full, or its oldest window has waited `DispatchConfig.max_wait_s`. A batch that is not answered
within `redeliver_after_s`, or whose scorer fell silent, goes back to the head of the queue and
to another scorer. Every window is accounted for once: the first answer counts, later ones are
duplicates.

Pure: no sockets, no clock; ``now`` is an argument, in seconds of any steady clock.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.messages import MAX_BATCH, Ready, ScoreRequest, WindowId


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchConfig:
    """When batches leave, and when they are given up."""

    max_batch: int = 64
    max_wait_s: float = 0.005
    """A lone beat waits no longer than this for company."""
    redeliver_after_s: float = 1.0
    """An unanswered batch is handed out again after this time."""
    silent_after_s: float = 1.5
    """A scorer that has sent nothing for this long gets no more batches."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot work."""
        if not 1 <= self.max_batch <= MAX_BATCH:
            raise ConfigError(f"a batch holds 1 to {MAX_BATCH} windows, not {self.max_batch}")
        if self.max_wait_s < 0 or self.redeliver_after_s <= 0 or self.silent_after_s <= 0:
            raise ConfigError(f"times must be positive: {self}")


@dataclass(slots=True)
class _Scorer:
    """What is known of one connected scorer."""

    credit: int
    heard_at: float


@dataclass(slots=True)
class _Batch:
    """Windows under way to a scorer."""

    scorer: bytes
    ids: list[WindowId]
    sent_at: float


class Dispatcher:
    """Queue of windows, and the scorers that take them."""

    def __init__(self, config: DispatchConfig | None = None) -> None:
        self._config = config or DispatchConfig()
        self._windows: dict[WindowId, NDArray[np.float32]] = {}
        self._waiting: deque[tuple[WindowId, float]] = deque()
        self._scorers: OrderedDict[bytes, _Scorer] = OrderedDict()
        self._under_way: list[_Batch] = []
        self.redelivered = 0
        """Windows that had to be handed out again."""

    @property
    def pending(self) -> int:
        """Windows without an answer."""
        return len(self._windows)

    @property
    def scorers(self) -> int:
        """Scorers that were heard of lately."""
        return len(self._scorers)

    def add(self, window_id: WindowId, window: NDArray[np.float32], now: float) -> None:
        """Queue a window, float32[320]; a known id is a no-op."""
        if window_id not in self._windows:
            self._windows[window_id] = window
            self._waiting.append((window_id, now))

    def hear(self, scorer: bytes, message: Ready, now: float) -> None:
        """Note that a scorer lives and how many batches it takes at a time."""
        self._scorers[scorer] = _Scorer(credit=message.credit, heard_at=now)

    def answer(self, scorer: bytes, ids: list[WindowId], now: float) -> list[int]:
        """Note an answer; return the positions in ``ids`` that were still waiting for one."""
        if scorer in self._scorers:
            self._scorers[scorer].heard_at = now
        self._under_way = [
            batch for batch in self._under_way if batch.scorer != scorer or batch.ids != ids
        ]
        fresh = []
        for position, window_id in enumerate(ids):
            if self._windows.pop(window_id, None) is not None:
                fresh.append(position)
        return fresh

    def due(self, now: float) -> list[tuple[bytes, ScoreRequest]]:
        """Return the batches to send now, each with its scorer."""
        self._give_up(now)
        requests = []
        while self._waiting and (scorer := self._free_scorer()) is not None:
            if not self._batch_is_due(now):
                break
            ids = self._take()
            if not ids:
                continue
            self._under_way.append(_Batch(scorer, ids, now))
            self._scorers.move_to_end(scorer)
            rows = np.stack([self._windows[window_id] for window_id in ids])
            requests.append((scorer, ScoreRequest(ids=ids, windows=rows.tobytes())))
        return requests

    def next_deadline(self, now: float) -> float | None:
        """Return when `due` should be asked again at the latest, or None if nothing waits."""
        deadlines = [batch.sent_at + self._config.redeliver_after_s for batch in self._under_way]
        if self._waiting and self._free_scorer() is not None:
            deadlines.append(self._waiting[0][1] + self._config.max_wait_s)
        return max(now, min(deadlines)) if deadlines else None

    def _batch_is_due(self, now: float) -> bool:
        full = len(self._waiting) >= self._config.max_batch
        # The same sum as in `next_deadline`, or a rounding error makes the caller spin.
        return full or now >= self._waiting[0][1] + self._config.max_wait_s

    def _take(self) -> list[WindowId]:
        """Take up to a batch of windows that nobody has answered meanwhile."""
        ids: list[WindowId] = []
        while self._waiting and len(ids) < self._config.max_batch:
            window_id, _ = self._waiting.popleft()
            if window_id in self._windows:
                ids.append(window_id)
        return ids

    def _free_scorer(self) -> bytes | None:
        """Return the scorer with credit that was served longest ago."""
        busy: dict[bytes, int] = {}
        for batch in self._under_way:
            busy[batch.scorer] = busy.get(batch.scorer, 0) + 1
        for name, scorer in self._scorers.items():
            if busy.get(name, 0) < scorer.credit:
                return name
        return None

    def _give_up(self, now: float) -> None:
        """Put back what silent scorers hold and what was not answered in time."""
        config = self._config
        for name in [
            n for n, s in self._scorers.items() if now - s.heard_at >= config.silent_after_s
        ]:
            del self._scorers[name]
        lost = [
            batch
            for batch in self._under_way
            if batch.scorer not in self._scorers or now >= batch.sent_at + config.redeliver_after_s
        ]
        if not lost:
            return
        self._under_way = [batch for batch in self._under_way if batch not in lost]
        for batch in reversed(lost):
            if batch.scorer in self._scorers:
                self._scorers.move_to_end(batch.scorer)  # another one is the better choice
            again = [window_id for window_id in batch.ids if window_id in self._windows]
            self.redelivered += len(again)
            self._waiting.extendleft((window_id, batch.sent_at) for window_id in reversed(again))
