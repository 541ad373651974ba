"""Many live streams over one connection: the alerts of each are those that it has alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alarms.system import STALE_S
from pipeline.constants import MAX_STREAMS
from pipeline.hub import sources
from pipeline.hub.admission import CHUNKS_UNDER_WAY, NoCreditError
from pipeline.hub.gathering import (
    GATHER_S,
    LONGEST_GATHER_S,
    MANY,
    NOBODY,
    Gathered,
    Gathering,
    gather_s,
)
from pipeline.schema.bundles import answers_in, bundled
from pipeline.schema.columns import ChunkRows, columns_of, encode_columns, rows_in
from pipeline.schema.messages import FLAG_LEAD_OFF, Accepted, Chunk, Refused
from pipeline.signal.samples import SampleBlock, in_blocks
from pipeline.stream.streams import FORGOTTEN_S
from pipeline.transport.sockets import Dealer, Peer
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.player import play
from replay.source import SourceInfo
from tests.support.chaos import History, HubProcess, oracle, scorer_of
from tests.support.hub_by_hand import HubByHand, chunk, hub_by_hand
from tests.support.running import thread, until

pytestmark = pytest.mark.system

NAMES = [f"bed-{n}" for n in range(MANY + 1)]
SHORT = 7
"""Samples of a chunk of 20 ms."""


@dataclass
class Bed:
    """A source whose samples are there as soon as the hub takes them."""

    name: str
    x: NDArray[np.float32]
    first: int = 0

    @property
    def info(self) -> SourceInfo:
        """Of a record, which waits for the hub."""
        return SourceInfo(stream=self.name, fs_hz=360.0, leads=("",), total_samples=self.x.size)

    def blocks(self) -> Iterator[SampleBlock]:
        """Yield 20 ms at a time."""
        for block in in_blocks(self.x[self.first :], SHORT):
            yield SampleBlock(block.first_sample + self.first, block.samples)

    def seek(self, epoch: int, sample: int) -> None:
        """Begin there."""
        self.first = sample

    def close(self) -> None:
        """Release nothing."""


@pytest.fixture(scope="module")
def signals() -> dict[str, NDArray[np.float32]]:
    """Eight seconds of each bed's own patient."""
    patients = (
        SyntheticPatient(PatientConfig(ectopic=0.15, pause=0.05, seed=n)) for n in range(len(NAMES))
    )
    return {
        name: patient.generate(8 * 360).samples
        for name, patient in zip(NAMES, patients, strict=True)
    }


def test_a_hub_that_is_killed_among_many_streams_loses_and_repeats_nothing(
    tmp_path: Path, signals: dict[str, NDArray[np.float32]]
) -> None:
    """What waits in the hub for more of its stream is sent again; each alert comes once."""
    expected = {name: oracle(name, x) for name, x in signals.items()}
    hub = HubProcess(tmp_path / "log")
    hub.start()
    try:
        history = History(hub)
        beds = [Bed(name, x) for name, x in signals.items()]

        def feed(stop: Callable[[], bool]) -> None:
            play(beds, hub.endpoints["ingest"], stop, paced=False)

        with scorer_of(hub), history.subscriber, thread(feed):
            until(lambda: history.receive() or _beats(history) > 20)
            hub.kill()
            hub.restart()
            history.until_ended(NAMES)
        history.check(expected)
    finally:
        hub.kill()


def _beats(history: History) -> int:
    return sum(status.beats for status in history.statuses.values())


def short(name: str, number: int, **fields: object) -> Chunk:
    """Return the ``number``-th chunk of 20 ms of a stream."""
    facts = {"samples": np.full(SHORT, number), "first_sample": SHORT * (number - 1)}
    return chunk(number, stream=name, **{**facts, **fields})


def test_chunks_that_follow_are_one() -> None:
    """With the samples and flags of all, what the first lost, and the number of the last."""
    off = np.full(SHORT, FLAG_LEAD_OFF, np.uint8)
    gathered = Gathered.beginning(short("s", 4, shed=5), 0.0)
    assert gathered.as_one().number == 4
    for one in (short("s", 5, flags=off, unreadable=2), short("s", 6, unreadable=1)):
        assert gathered.continued_by(one)
        gathered.add(one, 0.1)
    one = gathered.as_one()
    assert (one.number, one.first_sample, one.end) == (6, 3 * SHORT, 6 * SHORT)
    assert (one.shed, one.unreadable) == (5, 3)
    assert one.samples.tolist() == [4.0] * SHORT + [5.0] * SHORT + [6.0] * SHORT
    assert one.flags.tolist() == [0] * SHORT + [FLAG_LEAD_OFF] * SHORT + [0] * SHORT


def follows(row: Chunk, gathered: Gathered, at: float = 0.2) -> bool:
    """Add a chunk as a row to what waits of its stream, if it follows; return whether it does."""
    gathering = Gathering()
    gathering.longest_s = 1.0
    gathering._waiting[gathered.stream] = gathered
    rows = rows_in(columns_of([row]))
    others = list(gathering.add_rows(rows, NOBODY, at, {}, gathering.take))
    assert others in ([], [(0, None)])
    return not others


def test_rows_that_follow_are_what_messages_would_be() -> None:
    """One after the other, with their flags; nothing else is added."""
    off = np.full(SHORT, FLAG_LEAD_OFF, np.uint8)
    chunks = [short("s", 1), short("s", 2, flags=off), short("s", 3)]
    together, in_rows = (Gathered.beginning(chunks[0], 0.0) for _ in range(2))
    for at, one in ((0.1, chunks[1]), (0.2, chunks[2])):
        together.add(one, at)
        assert follows(one, in_rows, at)
    assert in_rows.parts == together.parts == ([SHORT, 2 * SHORT], [0.0, 0.1])
    assert list(in_rows.numbers) == list(together.numbers) == [1, 2, 3]
    assert in_rows.lengths == together.lengths == [SHORT] * 3
    for name in Chunk.__struct_fields__:
        np.testing.assert_array_equal(
            getattr(in_rows.as_one(), name), getattr(together.as_one(), name)
        )
    for other in (
        {"first_sample": 3 * SHORT + 1}, {"epoch": 1}, {"session": "b"},
        {"fs_hz": 250.0},
        {"leads": ["I", "V1"], "lead": "I", "samples": np.zeros((2, SHORT), "<f4")},
    ):  # fmt: skip
        assert not follows(short("s", 4, **other), in_rows)
    assert not follows(short("s", 5, first_sample=21), in_rows)
    for one in (short("s", 1, fault="no"), short("s", 1, stamp_s=1.0)):
        assert not follows(chunks[1], Gathered.beginning(one, 0.0))
    assert follows(short("s", 4), in_rows)


def test_what_arrives_together_has_one_time() -> None:
    """Where a chunk ends is kept where the next one arrived at another time."""
    gathered = Gathered.beginning(short("s", 1), 0.1)
    for number, at in ((2, 0.1), (3, 0.2), (4, 0.2), (5, 0.3)):
        gathered.add(short("s", number), at)
    assert gathered.parts == ([2 * SHORT, 4 * SHORT], [0.1, 0.2])
    assert gathered.arrived_at == 0.3


class Ward:
    """Many streams by hand, over one connection."""

    def __init__(self, one: HubByHand) -> None:
        self.one = one
        self.source: Dealer = one.connect("ingest")
        self.answers: list[Accepted | Refused] = []

    def send(self, *messages: Chunk) -> None:
        """Send messages in a frame or a few, and let the hub turn until it has read them."""
        for frame in bundled(messages, 1 << 17):
            until(lambda frame=frame: self.source.send(frame) or bool(self.turn()))
        for _ in range(4):
            self.turn()

    def turn(self) -> None:
        """Let a moment pass in which all that is due is done."""
        self.one.later_s += 0.02
        self.one.hub.turn()
        for frame in self.source.receive():
            self.answers += answers_in(frame)

    def written(self, name: str) -> int:
        """Return how much of a stream is acknowledged."""
        numbers = [a.written for a in self.answers if isinstance(a, Accepted) and a.stream == name]
        return max(numbers, default=0)


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """Many streams that have begun."""
    with hub_by_hand(tmp_path / "log") as one:
        one.stop_clock()
        ward = Ward(one)
        ward.send(*(short(name, 1) for name in NAMES))
        until(lambda: ward.turn() or all(ward.written(name) == 1 for name in NAMES))
        yield ward


def test_what_is_too_much_for_one_turn_is_read_in_the_next(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, though samples are read only from time to time: else a hub would fall behind."""
    hub = ward.one.hub
    peer = hub._sources._senders._peers[NAMES[0]]
    frames = [
        (peer, encode_columns([short(name, number) for name in NAMES])) for number in range(2, 9)
    ]

    def receive(most: int) -> Iterator[tuple[Peer, bytes]]:
        while frames:
            yield frames.pop(0)

    monkeypatch.setattr(hub._sockets.ingest, "receive", receive)
    ward.one.later_s += 0.05
    hub.turn()
    assert frames
    assert hub._sources.has_rest
    hub.turn()
    assert not frames
    assert not hub._sources.has_rest
    waiting = [hub._sources._gathering.of(name) for name in NAMES]
    assert [len(one.pieces) for one in waiting if one is not None] == [7] * len(NAMES)


def test_a_source_that_ends_is_missed_in_time_however_long_its_last_chunk_waits(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that lets chunks wait for each other does not take that for a source without credit."""
    monkeypatch.setattr(sources, "gather_s", lambda streams: LONGEST_GATHER_S)
    ward.turn()
    ward.send(short("bed-0", 2))
    waiting = ward.one.hub._sources._gathering.of("bed-0")
    assert waiting is not None
    sessions, now = ward.one.hub._streams.sessions, ward.one._clock
    until(lambda: ward.turn() or sessions["bed-0"].source_alarm.is_active)
    assert now() - waiting.arrived_at < STALE_S + 0.1


def test_what_waits_for_more_of_its_stream_is_not_acknowledged(ward: Ward) -> None:
    """A chunk of many live streams is in the log after `GATHER_S`, and answered then."""
    one = ward.one
    ward.send(short("bed-0", 2))
    assert ward.written("bed-0") == 1
    assert one.hub._streams.sessions["bed-0"].stream.next_sample == SHORT
    one.later_s += GATHER_S
    until(lambda: ward.turn() or ward.written("bed-0") == 2)
    assert one.hub._log.last_entry > 0


def test_chunks_of_a_stream_become_one_entry_and_have_one_answer(ward: Ward) -> None:
    """The answer to the last stands for those before it."""
    before = ward.one.hub._log.last_entry
    ward.answers.clear()
    ward.send(*(short("bed-0", number) for number in range(2, 7)))
    until(lambda: ward.turn() or ward.written("bed-0") == 6)
    assert ward.one.hub._log.last_entry == before + 1
    assert [answer.stream for answer in ward.answers] == ["bed-0"]


def test_a_frame_makes_no_messages_of_chunks_that_go_on(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many follow on each other: a source that caught up sends them in one frame."""
    made = list[str]()
    as_message = ChunkRows.chunk

    def counted(chunks: ChunkRows, row: int) -> Chunk:
        made.append(chunks.streams[row])
        return as_message(chunks, row)

    monkeypatch.setattr(ChunkRows, "chunk", counted)
    ward.send(*(short(name, number) for name in NAMES for number in range(2, 8)))
    until(lambda: ward.turn() or all(ward.written(name) == 7 for name in NAMES))
    assert made == []
    ward.send(short("bed-0", 7), short("bed-1", 8))
    until(lambda: ward.turn() or ward.written("bed-1") == 8)
    assert made == ["bed-0", "bed-1"]  # what comes behind one that does not go on waits its turn


def test_long_chunks_that_arrived_together_become_one_entry(ward: Ward) -> None:
    """A hub that is behind takes at once what has come meanwhile."""
    before = ward.one.hub._log.last_entry
    long = [
        chunk(n, np.zeros(72), stream="bed-0", first_sample=SHORT + 72 * (n - 2)) for n in (2, 3, 4)
    ]
    ward.send(*long)
    until(lambda: ward.turn() or ward.written("bed-0") == 4)
    assert ward.one.hub._log.last_entry == before + 1


def test_a_chunk_that_does_not_follow_is_taken_after_what_waits(ward: Ward) -> None:
    """Repeats are no-ops, what is missing is said, and what the source says is not mixed."""
    ward.send(short("bed-0", 2), short("bed-0", 2), short("bed-0", 4))
    until(lambda: ward.turn() or ward.written("bed-0") == 2)
    assert any(isinstance(a, Accepted) and a.missing for a in ward.answers)
    ward.send(short("bed-0", 3), short("bed-0", 4, fault="lead off"))
    until(lambda: ward.turn() or ward.written("bed-0") == 4)
    session = ward.one.hub._streams.sessions["bed-0"]
    assert session.state.source_fault == "lead off"
    assert session.stream.next_sample == 4 * SHORT


def test_one_refused_message_in_a_frame_refuses_its_stream_alone(ward: Ward) -> None:
    """The others in the frame are taken."""
    ward.send(short("bed-0", 2, session="b"), short("bed-1", 2))
    until(lambda: ward.turn() or ward.written("bed-1") == 2)
    refused = [a.stream for a in ward.answers if isinstance(a, Refused)]
    assert refused == ["bed-0"]
    assert ward.written("bed-0") == 1


def test_no_stream_gives_way_to_another_while_its_chunks_wait(tmp_path: Path) -> None:
    """A source that is back after a long silence is read, before one gives way to a new stream."""
    with hub_by_hand(tmp_path / "log", max_streams=len(NAMES)) as one:
        one.stop_clock()
        ward = Ward(one)
        ward.send(*(short(name, 1) for name in NAMES))
        until(lambda: ward.turn() or all(ward.written(name) == 1 for name in NAMES))
        one.later_s += FORGOTTEN_S
        ward.send(short("bed-0", 2), short("new", 1))
        until(lambda: ward.turn() or ward.written("bed-0") == 2)
        until(lambda: ward.turn() or ward.written("new") == 1)
        assert set(NAMES) - set(one.hub._streams.sessions) == {"bed-1"}


def test_pictures_of_very_many_streams_are_no_more_a_second(tmp_path: Path) -> None:
    """They come less often, and hold all that came since."""
    names = [f"bed-{n}" for n in range(2 * MAX_STREAMS)]
    with hub_by_hand(tmp_path / "log", max_streams=len(names)) as one:
        one.stop_clock()
        ward = Ward(one)
        for first in range(0, len(names), 64):
            ward.send(*(short(name, 1) for name in names[first : first + 64]))
        until(lambda: ward.turn() or all(ward.written(name) == 1 for name in names))
        one.later_s += 1.0
        now = one.hub._clock()
        list(one.hub._status.regular_messages(now, one.hub._share, list))
        assert one.hub._status._due["strip"] - now == pytest.approx(0.2)


def test_few_streams_wait_for_nothing(tmp_path: Path) -> None:
    """One stream alone is taken at once."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        for number in (1, 2, 3):
            answer = one.accepted(source, short("alone", number))
            assert answer.written == number


def test_many_streams_that_begin_at_once_do_not_hold_up_the_hub(tmp_path: Path) -> None:
    """Of a frame with new streams a few begin in each turn; all of them have begun soon."""
    names = [f"new-{n}" for n in range(100)]
    with hub_by_hand(tmp_path / "log") as one:
        ward = Ward(one)
        [frame] = bundled([short(name, 1) for name in names], 1 << 17)
        until(lambda: ward.source.send(frame))
        begun = [0]
        while begun[-1] < len(names):
            ward.turn()
            begun.append(len(one.hub._streams.sessions))
        assert max(after - before for before, after in pairwise(begun)) <= 16
        until(lambda: ward.turn() or all(ward.written(name) == 1 for name in names))


def test_the_more_streams_are_live_the_longer_chunks_wait_up_to_half_a_second() -> None:
    """Among few streams nothing waits."""
    waits = [gather_s(n) for n in range(5_000)]
    assert set(waits[:MANY]) == {0.0}
    assert waits[MANY] == GATHER_S
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_GATHER_S == 0.5


def test_short_chunks_have_credit_for_as_long_as_they_wait(tmp_path: Path) -> None:
    """A source is not stopped because its chunks wait for more; long ones have the usual credit."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        answer = one.accepted(source, short("bed", 1))
        assert answer.credit * SHORT / 360.0 > LONGEST_GATHER_S
        for _ in range(answer.credit):
            one.hub._admission.require_credit("bed", 0.0)
            one.hub._admission.on_taken("bed", 360.0, [SHORT])
        with pytest.raises(NoCreditError):
            one.hub._admission.require_credit("bed", 0.0)
        one.hub._admission.on_answered("bed", answer.credit)
        second = chunk(2, np.zeros(360), stream="bed", first_sample=SHORT)
        assert one.accepted(source, second).credit == CHUNKS_UNDER_WAY
