"""The dispatcher: batches by size and deadline, second chances, every window once."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.constants import MEASURES
from pipeline.errors import ConfigError, WireError
from pipeline.hub.dispatch import DispatchConfig, Dispatcher
from pipeline.schema.messages import Ready, ScoreRequest, WindowId

WINDOW = np.zeros(320, dtype=np.float32)
MEASURED = np.zeros(MEASURES, dtype=np.float32)
READY = Ready(model="m", device="cpu", credit=2)


def window_id(n: int) -> WindowId:
    """Return the id of the n-th window."""
    return ("s", 0, n)


def test_lone_window_leaves_after_its_deadline_and_not_before() -> None:
    """A lone beat waits 5 ms for company, no longer."""
    dispatcher = Dispatcher()
    dispatcher.on_ready(b"a", READY, 0.0)
    dispatcher.want_score(window_id(1), WINDOW, MEASURED, 10.0)
    dispatcher.on_ready(b"a", READY, 10.0)

    assert dispatcher.due(10.0) == []
    deadline = dispatcher.next_deadline(10.0)
    assert deadline == pytest.approx(10.005)
    assert [request.ids for _, request in dispatcher.due(deadline)] == [[window_id(1)]]


def test_full_batch_leaves_at_once() -> None:
    """A batch that is full does not wait."""
    dispatcher = Dispatcher(DispatchConfig(max_batch=4))
    dispatcher.on_ready(b"a", READY, 0.0)
    for n in range(5):
        dispatcher.want_score(window_id(n), WINDOW, MEASURED, 0.0)

    batches = [request.ids for _, request in dispatcher.due(0.0)]

    assert batches == [[window_id(n) for n in range(4)]]


def test_nothing_leaves_without_credit() -> None:
    """A scorer never has more batches under way than its credit."""
    dispatcher = Dispatcher(DispatchConfig(max_batch=1))
    dispatcher.on_ready(b"a", READY, 0.0)
    for n in range(5):
        dispatcher.want_score(window_id(n), WINDOW, MEASURED, 0.0)

    assert len(dispatcher.due(0.0)) == 2
    assert dispatcher.due(0.1) == []
    dispatcher.on_answer(b"a", [window_id(0)], 0.1)
    assert len(dispatcher.due(0.1)) == 1


def test_unanswered_batch_is_handed_out_again_and_its_late_answer_counts_once() -> None:
    """A second scorer gets what the first did not answer; of two answers the first counts."""
    dispatcher = Dispatcher(DispatchConfig(redeliver_after_s=1.0, silent_after_s=10.0))
    dispatcher.on_ready(b"a", READY, 0.0)
    dispatcher.want_score(window_id(1), WINDOW, MEASURED, 0.0)
    [(first, _)] = dispatcher.due(0.005)
    dispatcher.on_ready(b"b", READY, 0.9)

    [(second, request)] = dispatcher.due(1.01)

    assert (first, second, request.ids) == (b"a", b"b", [window_id(1)])
    assert dispatcher.on_answer(b"a", [window_id(1)], 1.02) == [0]
    assert dispatcher.on_answer(b"b", [window_id(1)], 1.03) == []
    assert dispatcher.redelivered == 1
    assert dispatcher.pending == 0


def test_slow_scorer_is_not_given_its_batch_again() -> None:
    """Alone, and slower than a batch is waited for: it falls no further behind."""
    dispatcher = Dispatcher(DispatchConfig(max_batch=1))
    for n in range(8):
        dispatcher.want_score(window_id(n), WINDOW, MEASURED, 0.0)
    unanswered: list[ScoreRequest] = []
    done = 0
    for tick in range(1, 200):
        now = tick / 10
        if tick % 20 == 0:  # two seconds a batch; then it says that it is ready
            request = unanswered.pop(0)
            done += len(dispatcher.on_answer(b"slow", request.ids, now))
        if not unanswered:
            dispatcher.on_ready(b"slow", READY, now)
        unanswered += [request for _, request in dispatcher.due(now)]
        if not dispatcher.pending:
            break

    assert (done, tick) == (8, 160)
    assert dispatcher.redelivered == 0


def test_what_a_slow_scorer_owes_goes_to_another_one() -> None:
    """And the slow one takes part again once it has answered, whether that was of use or not."""
    dispatcher = Dispatcher(DispatchConfig(max_batch=1))
    dispatcher.on_ready(b"slow", READY, 0.0)
    dispatcher.want_score(window_id(1), WINDOW, MEASURED, 0.0)
    assert len(dispatcher.due(0.1)) == 1
    dispatcher.on_ready(b"quick", READY, 1.1)
    assert [to for to, _ in dispatcher.due(1.2)] == [b"quick"]
    dispatcher.on_answer(b"quick", [window_id(1)], 1.2)

    for n in range(2, 6):
        dispatcher.want_score(window_id(n), WINDOW, MEASURED, 1.2)
    assert [to for to, _ in dispatcher.due(1.3)] == [b"quick", b"quick"]
    assert dispatcher.on_answer(b"slow", [window_id(1)], 1.4) == []
    assert [to for to, _ in dispatcher.due(1.4)] == [b"slow", b"slow"]


def test_answer_that_never_comes_is_not_waited_for() -> None:
    """A scorer that is ready, and has not answered, has lost the batch: it may have it again."""
    dispatcher = Dispatcher(DispatchConfig(max_batch=1))
    dispatcher.on_ready(b"a", READY, 0.0)
    dispatcher.want_score(window_id(1), WINDOW, MEASURED, 0.0)
    dispatcher.due(0.1)
    dispatcher.on_ready(b"a", READY, 1.0)
    assert dispatcher.due(1.05) == []  # it may have said so before the batch was there
    assert dispatcher.due(1.15) == []
    dispatcher.on_ready(b"a", READY, 1.25)
    assert [request.ids for _, request in dispatcher.due(1.25)] == [[window_id(1)]]
    assert dispatcher.redelivered == 1


def test_silent_scorer_loses_its_batches() -> None:
    """What a dead scorer held goes to the next one that is ready."""
    dispatcher = Dispatcher(DispatchConfig(redeliver_after_s=60.0, silent_after_s=1.5))
    dispatcher.on_ready(b"a", READY, 0.0)
    dispatcher.want_score(window_id(1), WINDOW, MEASURED, 0.0)
    dispatcher.due(0.005)

    assert dispatcher.due(1.6) == []
    assert dispatcher.scorers == 0
    dispatcher.on_ready(b"b", READY, 2.0)
    assert [scorer for scorer, _ in dispatcher.due(2.0)] == [b"b"]


def test_impossible_settings_are_refused() -> None:
    """A batch of no windows or a negative time is a configuration error."""
    with pytest.raises(ConfigError):
        DispatchConfig(max_batch=0)
    with pytest.raises(ConfigError):
        DispatchConfig(max_wait_s=-1.0)


@given(st.lists(st.integers(0, 40), max_size=80))
def test_adding_a_known_window_again_changes_nothing(numbers: list[int]) -> None:
    """Windows are known by their ids: repeats are no-ops while one waits."""
    dispatcher = Dispatcher()
    dispatcher.on_ready(b"a", READY, 0.0)
    for n in numbers:
        dispatcher.want_score(window_id(n), WINDOW, MEASURED, 0.0)

    sent = [one for _, request in dispatcher.due(1.0) for one in request.ids]

    assert sent == [window_id(n) for n in dict.fromkeys(numbers)]


def test_measures_go_with_their_windows() -> None:
    """Row by row, in the order of the ids."""
    dispatcher = Dispatcher()
    dispatcher.on_ready(b"a", READY, 0.0)
    for n in range(3):
        dispatcher.want_score(window_id(n), WINDOW + np.float32(n), MEASURED - np.float32(n), 0.0)

    [(_, request)] = dispatcher.due(0.005)

    assert request.ids == [window_id(n) for n in range(3)]
    assert request.windows[:, 0].tolist() == [0.0, 1.0, 2.0]
    assert request.measures[:, 0].tolist() == [0.0, -1.0, -2.0]


def test_second_leads_go_with_their_windows() -> None:
    """Zeros for a beat of one lead among others; nothing for a batch of such beats."""
    dispatcher = Dispatcher(DispatchConfig(max_batch=3))
    dispatcher.on_ready(b"a", READY, 0.0)
    for n in range(3):
        second = MEASURED + np.float32(n) if n else None
        dispatcher.want_score(window_id(n), WINDOW, MEASURED, 0.0, second)
    dispatcher.want_score(window_id(3), WINDOW, MEASURED, 0.0)

    (_, several), (_, one) = dispatcher.due(0.005)

    assert several.second[:, 0].tolist() == [0.0, 1.0, 2.0]
    assert one.second.size == 0


class Deliveries(RuleBasedStateMachine):
    """Scorers come, go, answer late, twice or never; no window is lost and none counts twice."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.dispatcher = Dispatcher(DispatchConfig(max_batch=3))
        self.under_way: list[tuple[bytes, ScoreRequest]] = []
        self.added: set[WindowId] = set()
        self.counted: Counter[WindowId] = Counter()

    @rule(n=st.integers(1, 5))
    def add(self, n: int) -> None:
        """Beats are found."""
        for _ in range(n):
            one = window_id(len(self.added))
            self.dispatcher.want_score(one, WINDOW, MEASURED, self.now)
            self.added.add(one)

    @rule(scorer=st.sampled_from([b"a", b"b", b"c"]))
    def seen(self, scorer: bytes) -> None:
        """A scorer says that it is ready."""
        self.dispatcher.on_ready(scorer, READY, self.now)

    @rule(seconds=st.floats(0.0, 2.0))
    def wait(self, seconds: float) -> None:
        """Time passes and what is due is sent."""
        self.now += seconds
        self.under_way += self.dispatcher.due(self.now)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), keep=st.booleans())
    def answer(self, data: st.DataObject, keep: bool) -> None:
        """A batch is answered, perhaps not for the last time."""
        at = data.draw(st.integers(0, len(self.under_way) - 1))
        self.count(*self.under_way[at])
        if not keep:
            del self.under_way[at]

    def count(self, scorer: bytes, request: ScoreRequest) -> None:
        """Answer a request."""
        for row in self.dispatcher.on_answer(scorer, request.ids, self.now):
            self.counted[request.ids[row]] += 1

    @precondition(lambda self: self.under_way)
    @rule()
    def lose(self) -> None:
        """A scorer dies with its batch."""
        self.under_way.pop()

    @invariant()
    def every_window_is_pending_or_was_counted_once(self) -> None:
        """The law: added = counted + pending."""
        assert all(times == 1 for times in self.counted.values())
        assert len(self.added) == len(self.counted) + self.dispatcher.pending

    def teardown(self) -> None:
        """With one good scorer everything is answered in the end."""
        for _ in range(200):
            if not self.dispatcher.pending:
                break
            self.now += 0.5
            self.dispatcher.on_ready(b"good", READY, self.now)
            for scorer, request in self.dispatcher.due(self.now):
                if scorer == b"good":
                    self.count(scorer, request)
        assert self.dispatcher.pending == 0
        assert set(self.counted) == self.added


TestDeliveries = Deliveries.TestCase


def test_windows_that_are_given_up_leave_nothing_behind() -> None:
    """However long nobody scores: the oldest go, whole, and the younger ones are handed out."""
    dispatcher = Dispatcher()
    for n in range(1_000):
        dispatcher.want_score(("s", 0, n), WINDOW.copy(), MEASURED, 0.0)
    dispatcher.give_up([("s", 0, n) for n in range(990)])
    assert dispatcher.pending == 10
    assert len(dispatcher._queue) == 10
    dispatcher.on_ready(b"a", READY, 0.0)
    [(_, request)] = dispatcher.due(1.0)
    assert request.ids == [("s", 0, n) for n in range(990, 1_000)]


def test_streams_take_turns_in_a_batch() -> None:
    """A beat of one waits for no more than a batch, however many of another came before it."""
    dispatcher = Dispatcher(DispatchConfig(max_batch=4))
    dispatcher.on_ready(b"a", READY, 0.0)
    for n in range(100):
        dispatcher.want_score(("fast", 0, n), WINDOW, MEASURED, 0.0)
    dispatcher.want_score(("bed", 0, 7), WINDOW, MEASURED, 0.0)

    (_, first), (_, second) = dispatcher.due(0.0)

    assert first.ids == [("fast", 0, 0), ("bed", 0, 7), ("fast", 0, 1), ("fast", 0, 2)]
    assert second.ids == [("fast", 0, n) for n in range(3, 7)]


def test_only_a_scorer_that_was_asked_may_answer() -> None:
    """Nobody else's numbers reach a patient's baseline; who was asked first may still be late."""
    dispatcher = Dispatcher(DispatchConfig(redeliver_after_s=1.0, silent_after_s=1.5))
    dispatcher.on_ready(b"a", READY, 0.0)
    dispatcher.want_score(window_id(1), WINDOW, MEASURED, 0.0)
    with pytest.raises(WireError, match="was not asked"):
        dispatcher.on_answer(b"a", [window_id(1)], 0.0)
    dispatcher.due(0.1)
    dispatcher.on_ready(b"stranger", READY, 0.2)
    with pytest.raises(WireError, match="was not asked"):
        dispatcher.on_answer(b"stranger", [window_id(5), window_id(1)], 0.2)

    dispatcher.due(60.0)

    assert dispatcher.scorers == 0
    assert dispatcher.on_answer(b"a", [window_id(1)], 60.0) == [0]
    assert dispatcher.on_answer(b"stranger", [window_id(1)], 60.1) == []


def test_a_scorer_that_answers_goes_before_one_that_only_says_that_it_is_ready() -> None:
    """However often it says so: a beat waits for it only where no other scorer has credit."""
    dispatcher = Dispatcher(DispatchConfig(max_batch=1))
    dispatcher.on_ready(b"idle", READY, 0.0)
    dispatcher.on_ready(b"good", READY, 0.0)
    asked = Counter[bytes]()
    for n in range(100):
        now = n / 10
        dispatcher.on_ready(b"idle", READY, now)
        dispatcher.on_ready(b"good", READY, now)
        dispatcher.want_score(window_id(n), WINDOW, MEASURED, now)
        for scorer, request in dispatcher.due(now + 0.01):
            asked[scorer] += 1
            if scorer == b"good":
                dispatcher.on_answer(scorer, request.ids, now + 0.02)

    assert asked[b"idle"] <= 3
    assert dispatcher.pending == 0
