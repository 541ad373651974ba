"""Which windows go to which scorer, and when: batches, credit, and redelivery.

* A batch leaves as soon as a scorer has credit and the batch is full, or its oldest window has
  waited `DispatchConfig.max_wait_s`.
* A batch that is not answered within `redeliver_after_s`, or whose scorer fell silent, goes back to
  the head of the queue and to another scorer.
* Scorers whose latest batch was answered in time go first: one that says that it is ready, and
  answers nothing, gets what they have no credit for.
* In a batch the streams take turns: no stream waits for all the windows of another.
* A scorer computes or reports that it is ready, never both at a time. One whose answer is overdue
  gets nothing more until it answers or reports that it is ready, lest it fall further behind.

Every window is accounted for once: the first answer counts, later ones are duplicates. An answer
counts only from a scorer to which that window was handed. With each window go the measures of its
beat, and those in its second lead.

Pure: no sockets, no clock; ``now`` is an argument, in seconds of any steady clock.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import MEASURES, WINDOW_SAMPLES
from pipeline.errors import ConfigError, WireError
from pipeline.schema.messages import MAX_BATCH, NO_MEASURES, Ready, ScoreRequest, WindowId
from pipeline.scoring.lead_measures import second_rows

STALLED_S: Final = 5.0
"""Windows have waited for this long without a useful answer: no scorer is working."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchConfig:
    """When batches leave, and when they are handed out again."""

    max_batch: int = 64
    max_wait_s: float = 0.005
    """A lone beat waits no longer than this for others to share its batch."""
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
    """One connected scorer."""

    credit: int
    seen_at: float
    """When it last sent anything."""
    answers: bool = False
    """Whether it has answered, and no batch of it is overdue since."""


@dataclass(slots=True)
class _Batch:
    """Windows under way to a scorer, without an answer yet."""

    scorer: bytes
    ids: list[WindowId]
    sent_at: float
    late: bool = False
    """Whether its answer is overdue; then its windows were put back."""


class _Waiting(NamedTuple):
    """A window to hand out; it may have been answered meanwhile."""

    id: WindowId
    since: float
    """When it began to wait."""
    again: bool
    """Whether it was handed out before."""


class _Row(NamedTuple):
    """What a request carries of a beat."""

    window: NDArray[np.float32]
    measures: NDArray[np.float32]
    second: NDArray[np.float32] | None


class _Queue:
    """The windows without an answer."""

    def __init__(self, max_wait_s: float) -> None:
        self._max_wait_s = max_wait_s
        self.rows: dict[WindowId, _Row] = {}
        self.waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        """By stream, the one whose turn it is first; a stream without any is not there."""
        self._asked: dict[WindowId, set[bytes]] = {}
        """The scorers to which each of the `rows` was handed."""
        self._length = 0
        self.redelivered = 0
        """Windows that were handed out again."""

    def __len__(self) -> int:
        """Return how many windows wait to be handed out."""
        return self._length

    def add(self, window_id: WindowId, row: _Row, now: float) -> None:
        """Queue a window; a known id is a no-op."""
        if window_id not in self.rows:
            self.rows[window_id] = row
            self.waiting.setdefault(window_id[0], deque()).append(_Waiting(window_id, now, False))
            self._length += 1

    def due_at(self) -> float | None:
        """Return when the oldest window has waited long enough, or None if none waits."""
        oldest = min((queue[0].since for queue in self.waiting.values()), default=None)
        return None if oldest is None else oldest + self._max_wait_s

    def take(self, most: int, scorer: bytes) -> list[WindowId]:
        """Take up to ``most`` windows that have no answer yet, for ``scorer``."""
        ids: list[WindowId] = []
        while self.waiting and len(ids) < most:
            stream, queue = next(iter(self.waiting.items()))
            window_id, _, again = queue.popleft()
            self._length -= 1
            if queue:
                self.waiting.move_to_end(stream)
            else:
                del self.waiting[stream]
            if window_id in self.rows:
                ids.append(window_id)
                self._asked.setdefault(window_id, set()).add(scorer)
                self.redelivered += again
        return ids

    def require_asked(self, scorer: bytes, ids: list[WindowId]) -> None:
        """Raise `WireError` if one of ``ids`` waits and was never handed to ``scorer``."""
        for window_id in ids:
            if window_id in self.rows and scorer not in self._asked.get(window_id, ()):
                raise WireError(f"answer for {window_id[0]} from a scorer that was not asked")

    def answered(self, window_id: WindowId) -> bool:
        """Record the answer for a window; False where none waits."""
        self._asked.pop(window_id, None)
        return self.rows.pop(window_id, None) is not None

    def forget(self, ids: Collection[WindowId]) -> None:
        """Drop windows."""
        for window_id in ids:
            self.answered(window_id)
        # While no scorer takes any, nothing else clears this queue.
        for stream in {window_id[0] for window_id in ids} & set(self.waiting):
            queue = self.waiting[stream]
            self._length -= len(queue)
            kept = deque(one for one in queue if one.id in self.rows)
            self._length += len(kept)
            if kept:
                self.waiting[stream] = kept
            else:
                del self.waiting[stream]

    def put_back(self, ids: list[WindowId], since: float) -> None:
        """Queue again, at the head of their streams, those of ``ids`` that have no answer."""
        for window_id in reversed(ids):
            if window_id in self.rows:
                queue = self.waiting.setdefault(window_id[0], deque())
                queue.appendleft(_Waiting(window_id, since, True))
                self.waiting.move_to_end(window_id[0], last=False)
                self._length += 1


class Dispatcher:
    """The queue of windows, and the scorers that take them."""

    def __init__(self, config: DispatchConfig | None = None) -> None:
        self._config = config or DispatchConfig()
        self._queue = _Queue(self._config.max_wait_s)
        self._scorers: OrderedDict[bytes, _Scorer] = OrderedDict()
        self._under_way: list[_Batch] = []
        self._progress_at = 0.0
        """When the latest useful answer came, or the first window began to wait."""

    @property
    def pending(self) -> int:
        """Windows without an answer."""
        return len(self._queue.rows)

    @property
    def redelivered(self) -> int:
        """Windows that were handed out again."""
        return self._queue.redelivered

    @property
    def scorers(self) -> int:
        """Scorers that were seen lately."""
        return len(self._scorers)

    def stalled_s(self, now: float) -> float:
        """Return for how long windows have waited without a useful answer."""
        return now - self._progress_at if self.pending else 0.0

    def working(self, now: float) -> int:
        """Return how many scorers there are; none while no useful answer comes from them."""
        return 0 if self.stalled_s(now) > STALLED_S else self.scorers

    def give_up(self, ids: Collection[WindowId]) -> None:
        """Forget windows: they want no score any more."""
        if ids:
            self._queue.forget(ids)

    def want_score(
        self,
        window_id: WindowId,
        window: NDArray[np.float32],
        measures: NDArray[np.float32],
        now: float,
        second: NDArray[np.float32] | None = None,
    ) -> None:
        """Queue a window, float32[320], and the measures of its beat, float32[MEASURES].

        ``second`` are its measures in a second lead. One that waits already is a no-op.
        """
        if not self.pending:
            self._progress_at = now
        self._queue.add(window_id, _Row(window, measures, second), now)

    def on_ready(self, scorer: bytes, message: Ready, now: float) -> None:
        """Record that a scorer is ready, and how many batches it takes at a time."""
        # An overdue answer that has not come by now never will: it would have been sent before.
        self._under_way = [b for b in self._under_way if not (b.late and b.scorer == scorer)]
        known = self._scorers.setdefault(scorer, _Scorer(message.credit, now))
        known.credit, known.seen_at = message.credit, now

    def on_answer(self, scorer: bytes, ids: list[WindowId], now: float) -> list[int]:
        """Record an answer; return the positions in ``ids`` that were still waiting for one.

        Raises:
            WireError: one of them waits, and was not handed to this scorer.
        """
        self._queue.require_asked(scorer, ids)
        if scorer in self._scorers:
            self._scorers[scorer].seen_at = now
        answered = (scorer, ids)
        self._under_way = [
            batch for batch in self._under_way if (batch.scorer, batch.ids) != answered
        ]
        found = [at for at, window_id in enumerate(ids) if self._queue.answered(window_id)]
        if found:
            self._progress_at = now
            if scorer in self._scorers:
                self._scorers[scorer].answers = True
        return found

    def due(self, now: float, *, at_once: bool = False) -> list[tuple[bytes, ScoreRequest]]:
        """Return the batches to send now, each with its scorer.

        With ``at_once`` no beat waits for others: they would come together.
        """
        self._redeliver(now)
        requests: list[tuple[bytes, ScoreRequest]] = []
        while self._is_due(now, at_once) and (scorer := self._free_scorer()) is not None:
            ids = self._queue.take(self._config.max_batch, scorer)
            if not ids:
                continue
            self._under_way.append(_Batch(scorer, ids, now))
            self._scorers.move_to_end(scorer)
            rows = [self._queue.rows[window_id] for window_id in ids]
            second = second_rows([row.second for row in rows])
            request = ScoreRequest(
                ids=ids,
                windows=np.concatenate([row.window for row in rows]).reshape(-1, WINDOW_SAMPLES),
                measures=np.concatenate([row.measures for row in rows]).reshape(-1, MEASURES),
                second=NO_MEASURES if second is None else second,
            )
            requests.append((scorer, request))
        return requests

    def next_deadline(self, now: float) -> float | None:
        """Return when `due` should be asked again at the latest, or None if nothing waits."""
        config = self._config
        deadlines = [
            batch.sent_at + config.redeliver_after_s for batch in self._under_way if not batch.late
        ]
        due_at = self._queue.due_at()
        if due_at is not None and self._free_scorer() is not None:
            deadlines.append(due_at)
        return max(now, min(deadlines)) if deadlines else None

    def _is_due(self, now: float, at_once: bool) -> bool:
        if len(self._queue) >= (1 if at_once else self._config.max_batch):
            return True
        due_at = self._queue.due_at()
        return due_at is not None and now >= due_at

    def _free_scorer(self) -> bytes | None:
        """Return the scorer with credit, and no answer overdue, that was served longest ago.

        One that has not answered yet, or not in time, only where no other is free.
        """
        busy = Counter(batch.scorer for batch in self._under_way)
        late = {batch.scorer for batch in self._under_way if batch.late}
        free = [
            name
            for name, scorer in self._scorers.items()
            if busy[name] < scorer.credit and name not in late
        ]
        return next((name for name in free if self._scorers[name].answers), next(iter(free), None))

    def _redeliver(self, now: float) -> None:
        """Put back the windows of silent scorers, and those that were not answered in time."""
        config = self._config
        for name in [
            n for n, s in self._scorers.items() if now - s.seen_at >= config.silent_after_s
        ]:
            del self._scorers[name]
        for batch in reversed(self._under_way):
            overdue = now >= batch.sent_at + config.redeliver_after_s
            if not batch.late and (overdue or batch.scorer not in self._scorers):
                batch.late = True
                if batch.scorer in self._scorers:
                    self._scorers[batch.scorer].answers = False
                self._queue.put_back(batch.ids, batch.sent_at)
        self._under_way = [b for b in self._under_way if b.scorer in self._scorers]
