"""One partition as a state machine: the same messages give the same alerts, however it is cut."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from numpy.typing import NDArray

from pipeline.alarms.settings import DEFAULTS
from pipeline.kafka.partition import REMOVED_S, Partition, Rules, Step
from pipeline.kafka.scoring import score_all
from pipeline.schema.limits import Limits
from pipeline.schema.messages import Chunk, End, Hello, Message, encode
from pipeline.schema.partition_log import (
    SavedPartition,
    SavedStream,
    decode_saved,
    encode_acknowledged,
    encode_batch,
    encode_limits,
    encode_saved,
    encode_silent,
)
from pipeline.schema.public import Alert, BeatNote
from tests.support.kafka import FS, LEADS, compared, embedded, embedded_beats, signal_of
from tests.support.running import CONFIG, TrivialScorer, comparable

RULES = Rules(live_score=CONFIG, alarms=DEFAULTS, version="1")
SESSION = "a1" * 16


def partition(saved: SavedPartition | None = None, rules: Rules = RULES) -> Partition:
    """Return a partition, from the bytes of a snapshot where there is one."""
    again = None if saved is None else decode_saved(encode_saved(saved))
    return Partition(rules, lambda: 0.0, 0.0, again)


def chunk(stream: str, number: int, samples: NDArray[np.float32], session: str = SESSION) -> Chunk:
    """Return the chunk of a second, the ``number``-th."""
    return Chunk(
        stream=stream, first_sample=(number - 1) * FS, fs_hz=float(FS), samples=samples, lead="II",
        leads=list(LEADS) if samples.ndim > 1 else [], session=session, number=number,
    )  # fmt: skip


def messages_of(signals: dict[str, NDArray[np.float32]]) -> list[bytes]:
    """Return batches, each of a second of every stream, and their ends."""
    seconds = next(iter(signals.values())).shape[-1] // FS
    batches = [
        [chunk(n, s + 1, x[..., s * FS : (s + 1) * FS]) for n, x in signals.items()]
        for s in range(seconds)
    ]
    ends: Sequence[Message] = [
        End(stream=n, next_sample=x.shape[-1], session=SESSION, number=seconds + 1)
        for n, x in signals.items()
    ]
    return [encode_batch(encode(one) for one in batch) for batch in [*batches, ends]]


def run(one: Partition, messages: Sequence[bytes], first: int = 0) -> Iterator[Step]:
    """Apply messages, a second apart, each beat scored before the next."""
    for offset, message in enumerate(messages, first):
        step = one.take(message, offset, float(offset), float(offset))
        if step.beats:
            one.on_scores(step, score_all(TrivialScorer(), step.beats), 0)
        yield step


def numbered(one: Partition, steps: Iterator[Step]) -> dict[tuple[int, int, int], Alert]:
    """Return the alerts of steps by their ids."""
    return {
        (one.term, step.offset, place): pending.alert
        for step in steps
        for place, pending in enumerate(step.alerts)
    }


@pytest.fixture(scope="module")
def signals(demo: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return half a minute each of three streams."""
    return {name: signal_of(seed, 30, demo) for seed, name in enumerate(("a", "b", "c"))}


def test_a_partition_gives_the_alerts_of_one_process(
    signals: dict[str, NDArray[np.float32]],
) -> None:
    """Whatever other streams share the messages and the batches of beats."""
    steps = run(partition(), messages_of(signals))
    alerts = [pending.alert for step in steps for pending in step.alerts]

    for name, x in signals.items():
        of_stream = [alert for alert in alerts if alert.stream == name]
        assert compared(of_stream) == compared(embedded(name, x))
    assert len(alerts) > 5


def test_beats_of_two_leads_are_named_as_in_one_process(demo: NDArray[np.float32]) -> None:
    """By the measures of both, also where the batch holds beats of a stream with one."""
    x = signal_of(0, 30, demo)
    signals = {"one": signal_of(1, 30, demo), "two": np.stack([x, 0.5 * x])}
    steps = run(partition(), messages_of(signals))
    messages = [content for step in steps for topic, content in step.messages]

    for name, of_stream in signals.items():
        expected = embedded_beats(name, of_stream)
        notes = [one for one in messages if isinstance(one, BeatNote) and one.stream == name]
        assert [note.class_probabilities for note in notes] == [
            note.class_probabilities for note in expected
        ]
        assert len(expected) > 30


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(0, 31), max_size=3), back=st.integers(0, 5))
def test_a_snapshot_changes_no_alert_and_no_id(
    signals: dict[str, NDArray[np.float32]], cuts: list[int], back: int
) -> None:
    """Taken after any message, and continued from one taken some messages earlier."""
    messages = messages_of(signals)
    whole = partition()
    expected = numbered(whole, run(whole, messages))
    found: dict[tuple[int, int, int], Alert] = {}
    one, at = partition(), 0
    for cut in [*sorted(cuts), len(messages)]:
        kept = max(at, cut - back)
        found |= numbered(one, run(one, messages[at:kept], at))
        saved = one.saved()
        found |= numbered(one, run(one, messages[kept:cut], kept))
        one, at = partition(saved), kept

    found |= numbered(one, run(one, messages[at:], at))
    assert {id_: comparable(a) for id_, a in found.items()} == {
        id_: comparable(a) for id_, a in expected.items()
    }


def test_other_rules_begin_a_term_of_their_own(signals: dict[str, NDArray[np.float32]]) -> None:
    """Alerts that another version derives are never taken for repeats of the former one's."""
    one = partition()
    list(run(one, messages_of(signals)[:10]))
    other = Rules(live_score=CONFIG, alarms=DEFAULTS, version="2")

    assert partition(one.saved()).term == one.term
    assert partition(one.saved(), other).term == one.term + 1


def test_streams_of_another_version_begin_again_and_their_alarms_stay(
    signals: dict[str, NDArray[np.float32]],
) -> None:
    """A state that cannot be read loses its stream alone; its alarms latch, or end."""
    flat = np.zeros(20 * FS, dtype=np.float32)
    one = partition()
    list(run(one, messages_of({"a": flat, "b": signals["b"][: 20 * FS]})[:-1]))
    saved = one.saved()
    active = saved.streams["a"].alarms
    assert active
    streams = saved.streams | {"a": SavedStream(360.0, b"\x92\x00\xc0", b"", active, 0.0, 0.0)}
    damaged = SavedPartition("1", 0, saved.offset, saved.time_s, [], streams)

    again = partition(damaged)
    assert set(again.lost) == {"a"}
    assert set(again.streams.sessions) == {"b"}
    following = partition(again.saved())
    for continued in (again, following):  # also of one that died before a message
        step = continued.take(encode_batch([]), saved.offset, 100.0, 100.0)
        assert {p.alert.episode for p in step.alerts} == {a.episode for a in active}
        assert {p.alert.state for p in step.alerts} <= {"latched", "off"}
        assert partition(continued.saved()).take(b"", saved.offset + 1, 101.0, 101.0).alerts == []


def test_a_silent_source_is_an_alarm_only_once_the_partition_says_so(
    signals: dict[str, NDArray[np.float32]],
) -> None:
    """The clock writes an item; a chunk before it makes it nothing; a chunk after it ends it."""
    x = signals["a"]
    one = partition()
    first = encode_batch([encode(chunk("a", 1, x[:FS]))])
    list(run(one, [first]))
    assert one.silent(1.9) == []
    (silent,) = one.silent(2.5)
    assert one.silent(2.6) == []  # it is on its way
    late = encode_batch([encode(chunk("a", 2, x[FS : 2 * FS])), encode_silent(silent)])

    (step,) = run(one, [late], 1)
    assert [p.alert.kind for p in step.alerts if p.alert.kind == "no_data"] == []

    (silent,) = one.silent(9.0)
    saved = one.saved()
    for continued in (one, partition(saved)):
        (step,) = run(continued, [encode_batch([encode_silent(silent)])], 2)
        assert [(p.alert.kind, p.alert.state) for p in step.alerts] == [("no_data", "on")]
        assert continued.silent(30.0) == []
        continued = partition(continued.saved())
        back = encode_batch([encode(chunk("a", 3, x[2 * FS : 3 * FS]))])
        (step,) = run(continued, [back], 3)
        alerts = [(p.alert.kind, p.alert.state) for p in step.alerts]
        assert ("no_data", "latched") in alerts or ("no_data", "off") in alerts


def test_an_acknowledgement_is_an_item_like_any_other() -> None:
    """It changes the alarm where it is read; where there is none, nothing."""
    flat = np.zeros(20 * FS, dtype=np.float32)
    one = partition()
    list(run(one, messages_of({"a": flat})[:-1]))
    assert {a.state for a in one.streams.sessions["a"].alarms} == {"on"}

    acknowledged = encode_batch([encode_acknowledged("a", "")])
    (step,) = run(one, [acknowledged], 20)
    assert step.alerts
    assert {p.alert.state for p in step.alerts} == {"ack"}
    (step,) = run(one, [acknowledged], 21)
    assert step.alerts == []


def test_questions_are_answered_by_the_state_at_their_place(
    signals: dict[str, NDArray[np.float32]],
) -> None:
    """A session learns what is taken of it; another one is refused while the first one sends."""
    x, other = signals["a"], "b2" * 16
    one = partition()
    items: list[Message] = [
        Hello(stream="a", session=SESSION),
        chunk("a", 1, x[:FS]),
        Hello(stream="a", session=SESSION),
        Hello(stream="a", session=other),
        Hello(stream="a", session=other, resume=True),
        chunk("a", 1, x[:FS], other),
        chunk("a", 1, x[:FS]),
        chunk("a", 3, x[2 * FS : 3 * FS]),
    ]
    (step,) = run(one, [encode_batch(map(encode, items))])

    unknown, known, refused, resumed, second, missing = step.answers
    assert unknown.accepted is not None
    assert (unknown.accepted.known, unknown.accepted.written) == (False, 0)
    assert known.accepted is not None
    assert (known.accepted.session, known.accepted.written) == (SESSION, 1)
    assert refused.refused is not None
    assert refused.refused.busy
    assert resumed.accepted is not None
    assert (resumed.accepted.session, resumed.accepted.written) == (SESSION, 1)
    assert second.refused is not None
    assert second.asking == other
    assert missing.accepted is not None
    assert missing.accepted.missing
    assert one.streams.sessions["a"].state.number == 1


@given(st.binary(max_size=200))
def test_hostile_messages_change_nothing(data: bytes) -> None:
    """Whoever may write to the topic of chunks is checked as any other peer."""
    one = partition()
    step = one.take(data, 0, 0.0, 0.0)

    assert step.alerts == []
    assert one.next_offset == 1
    assert len(one.streams.sessions) <= 1


def test_one_bad_item_costs_no_other(signals: dict[str, NDArray[np.float32]]) -> None:
    """The others of its message are taken."""
    one = partition()
    good = encode(chunk("a", 1, signals["a"][:FS]))
    (step,) = run(one, [encode_batch([b"\xc0", good, good[:-10] + b"\xc1" * 10])])

    assert step.rejected == 2
    assert one.streams.sessions["a"].state.number == 1


def test_a_refusal_outlives_its_worker(signals: dict[str, NDArray[np.float32]]) -> None:
    """`no_data` repeats it, so whoever derives that alert again must know it."""
    one, x = partition(), signals["a"]
    faster = structs.replace(chunk("a", 2, x[FS : 2 * FS]), fs_hz=250.0)
    items = [[chunk("a", 1, x[:FS])], [faster]]
    list(run(one, [encode_batch(map(encode, each)) for each in items]))
    silent = encode_batch([encode_silent(one.silent(9.0)[0])])

    continued = partition(one.saved())
    found = []
    for each in (one, continued):
        (step,) = run(each, [silent], 2)
        found.append([comparable(pending.alert) for pending in step.alerts])
    assert found[0] == found[1]
    assert "changed its rate" in str(found[0])


def test_a_stream_without_a_source_for_a_day_is_removed() -> None:
    """By the times of the messages: a worker that continues removes it with the same message.

    Its alarms end, or stay latched. What its source sends then begins it again.
    """
    flat, other = np.zeros(20 * FS, dtype=np.float32), encode(Hello(stream="b", session=SESSION))
    one, messages = partition(), messages_of({"a": flat})
    list(run(one, messages[:-1]))
    continued = partition(one.saved())

    found = []
    for each in (one, continued):
        step = each.take(encode_batch([other]), 20, 18.9 + REMOVED_S, 50.0)
        assert (step.alerts, list(each.streams.sessions)) == ([], ["a"])
        step = each.take(encode_batch([other]), 21, 19.0 + REMOVED_S, 60.0)
        assert (list(each.streams.sessions), list(each.saved().streams)) == ([], [])
        found.append([comparable(pending.alert) for pending in step.alerts])
    assert found[0] == found[1]
    assert found[0]

    goes_on = encode_batch([encode(chunk("a", 21, flat[:FS]))])
    one.take(goes_on, 22, 20.0 + REMOVED_S, 70.0)
    assert one.streams.sessions["a"].stream.next_sample == 21 * FS
    assert one.streams.sessions["a"].stream.counters.samples == FS


def test_a_partition_of_silent_sources_has_them_removed() -> None:
    """Where nothing else comes, the clock writes the item that does; so it does of ended ones."""
    flat = np.zeros(3 * FS, dtype=np.float32)
    one, *_, end = partition(), *messages_of({"a": flat})
    list(run(one, [*messages_of({"a": flat})[:-1], end]))
    assert one.silent(REMOVED_S) == []

    (silent,) = one.silent(3.0 + REMOVED_S)
    one.take(encode_batch([encode_silent(silent)]), 4, 3.0 + REMOVED_S, 3.0 + REMOVED_S)
    assert list(one.streams.sessions) == []
    assert one.silent(2 * REMOVED_S) == []


def test_limits_of_a_stream_are_an_item_like_any_other(
    signals: dict[str, NDArray[np.float32]],
) -> None:
    """They hold where they are read, are in the snapshot, and what is refused is counted."""
    one = partition()
    list(run(one, messages_of(signals)[:5]))
    wanted = encode_batch([encode_limits(Limits(stream="a", limits={"pause_s": 2.0}))])
    (step,) = run(one, [wanted], 5)
    assert {p.alert.kind for p in step.alerts} == {"limits_changed"}
    unknown = encode_batch([encode_limits(Limits(stream="z", limits={"pause_s": 2.0}))])
    (step,) = run(one, [unknown], 6)
    assert (step.alerts, step.rejected) == ([], 1)

    continued = partition(one.saved())

    assert continued.streams.sessions["a"].state.limits == {"pause_s": 2.0}
    assert continued.streams.sessions["a"].stream.settings.pause_s == 2.0
