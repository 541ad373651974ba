"""The books of a subscriber: every alert once and in order, and never a break without a word."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clients.sequencer import MOST_HELD, PATIENCE_S, Record, Sequencer
from pipeline.schema.public import Gap, Heartbeat, LogReplaced, PublishedAlert
from pipeline.schema.requests import ReplayPage, ReplayRequest


def alert(seq: int, log_id: str = "L", link: str = "", link_before: str = "") -> PublishedAlert:
    """Return the alert with this number."""
    return PublishedAlert(
        log_id=log_id,
        seq=seq,
        stream="100",
        kind="anomalous_beat",
        category="physiological",
        priority="low",
        sample=seq,
        time_s=0.0,
        reason="",
        link=link,
        link_before=link_before,
    )


def heartbeat(last: int, low: int = 1, log_id: str = "L", link: str = "") -> Heartbeat:
    """Return the heartbeat of a log that ends at ``last``."""
    return Heartbeat(log_id=log_id, last_seq=last, low_water_seq=low, link=link)


def answer(
    request: ReplayRequest,
    last: int,
    *,
    low: int = 1,
    log_id: str = "L",
    damaged: tuple[int, ...] = (),
    size: int = 500,
    links: Sequence[str] = (),
) -> list[ReplayPage]:
    """Return the pages with which a hub answers; ``links`` are those of a log, from before 1 on."""
    link = dict(enumerate(links)).get
    known = link(request.from_seq - 1, "") if request.from_seq >= low else ""
    unlike = "" not in (known, request.link) and known != request.link
    diverged = unlike and request.log_id == log_id
    at = max(low, request.from_seq if request.log_id in ("", log_id) and not diverged else low)
    pages: list[ReplayPage] = []
    while not pages or not pages[-1].end:
        to = min(at + size - 1, last)
        pages.append(
            ReplayPage(
                log_id=log_id,
                low_water_seq=low,
                last_seq=last,
                alerts=[
                    alert(n, log_id, link(n, ""), link(n - 1, ""))
                    for n in range(at, to + 1)
                    if n not in damaged
                ],
                end=to >= last,
                question=request.question,
                from_seq=at,
                to_seq=to,
                diverged=diverged,
                link=link(to, ""),
            )
        )
        at = to + 1
    return pages


def yielded(sequencer: Sequencer, pages: list[ReplayPage], now: float = 0.0) -> list[object]:
    """Let a follower take pages; return numbers, and (kind, first, last) of what breaks them."""
    return [brief(record) for page in pages for record in sequencer.on_page(page, now)]


def brief(record: Record) -> object:
    """Return what has to be the same of a record."""
    if isinstance(record, PublishedAlert):
        return record.seq
    if isinstance(record, Gap):
        return ("gap", record.from_seq, record.to_seq)
    return ("log_replaced", record.old_log_id, record.log_id)


def asked(sequencer: Sequencer, last: int, now: float = 0.0) -> ReplayRequest:
    """Return the question that a follower has."""
    request = sequencer.wanted(last, now)
    assert request is not None
    return request


class Scenario:
    """A hub whose log grows, is shortened or replaced, behind queues that lag and lose."""

    def __init__(self) -> None:
        self.log_id, self.last, self.low = "L1", 0, 1
        self.links = ["L1"]
        """Of the log as it is now: before alert 1, and after each."""
        self.logs = 1
        """How many there were, copies that were put back included."""
        self.lows = {"L1": 1}
        """How far each log was shortened at last."""
        self.live: deque[PublishedAlert | Heartbeat] = deque()
        self.pages: deque[ReplayPage] = deque()
        self.now = 0.0
        self.sequencer = Sequencer(have=0)
        self.last_seq = 0
        self.records: list[Record] = []

    def act(self, action: str) -> None:
        """Let one thing happen."""
        if action in ("alert", "lost"):
            self.last += 1
            self.links.append(f"{self.log_id}.{self.logs}.{self.last}")
            if action == "alert":
                self.live.append(alert(self.last, self.log_id, self.links[-1], self.links[-2]))
        elif action == "beat":
            self.live.append(heartbeat(self.last, self.low, self.log_id, self.links[-1]))
        elif action == "trim":
            self.low = min(self.low + 2, self.last + 1)
            self.lows[self.log_id] = self.low
        elif action == "replace":
            self.logs += 1
            self.log_id, self.last, self.low = f"L{self.logs}", 0, 1
            self.links = [self.log_id]
            self.lows[self.log_id] = 1
        elif action == "restore":
            self.logs += 1
            self.last //= 2
            self.low = min(self.low, self.last + 1)
            del self.links[self.last + 1 :]
            self.pages.clear()  # its hub ended
        elif action == "cut" and self.pages:
            self.pages.clear()
        elif action == "late":
            self.now += PATIENCE_S
        elif action == "page" and self.pages:
            self.records += self.sequencer.on_page(self.pages.popleft(), self.now)
        elif action == "hear" and self.live:
            self.hear(self.live.popleft())

    def hear(self, message: PublishedAlert | Heartbeat) -> None:
        """Take one live message, as `Subscriber` does."""
        if isinstance(message, PublishedAlert):
            self.records += self.sequencer.on_alert(message)
            return
        self.last_seq = message.last_seq
        self.sequencer.on_heartbeat(message)
        request = self.sequencer.wanted(self.last_seq, self.now)
        if request is not None:
            log: dict[str, Any] = {"low": self.low, "log_id": self.log_id, "links": self.links}
            self.pages.extend(answer(request, self.last, size=3, **log))

    def settle(self) -> None:
        """Let everything arrive, and a few more heartbeats."""
        for _ in range(6):
            self.now += PATIENCE_S
            self.act("beat")
            while self.live or self.pages:
                self.act("hear")
                while self.pages:
                    self.act("page")


ACTIONS = "alert alert lost beat hear hear page trim cut late replace restore"


@settings(max_examples=300)
@given(st.lists(st.sampled_from(ACTIONS.split()), max_size=80))
def test_every_alert_comes_once_and_every_break_has_its_record(actions: list[str]) -> None:
    """Whatever is lost, late, asked twice, shortened, replaced or put back to an older copy.

    Numbers go on without a hole, and what the log holds in the end was read from it.
    """
    scenario = Scenario()
    for action in actions:
        scenario.act(action)
    scenario.settle()

    have, log_id, replaced = 0, "", 0
    read: dict[int, str] = {}
    for record in scenario.records:
        if isinstance(record, LogReplaced):
            assert record.old_seq == have
            assert log_id in ("", record.old_log_id)
            have, log_id, replaced = 0, record.log_id, replaced + 1
            read.clear()
            continue
        assert log_id in ("", record.log_id)
        log_id = record.log_id
        if isinstance(record, Gap):
            assert have + 1 == record.from_seq <= record.to_seq < scenario.lows[log_id]
        else:
            assert record.seq == have + 1
            read[record.seq] = record.link
        have = record.seq
    held = range(scenario.low, scenario.last + 1)
    assert {n: read.get(n) for n in held} == {n: scenario.links[n] for n in held}
    assert (scenario.sequencer.log_id, have) == (scenario.log_id, scenario.last)
    assert replaced <= scenario.logs - 1
    assert scenario.sequencer.wanted(scenario.last, scenario.now) is None


def test_late_joiner_without_a_position_starts_with_what_comes() -> None:
    """Without a number to begin at, only new alerts are delivered."""
    sequencer = Sequencer(have=None)
    sequencer.on_heartbeat(heartbeat(41))

    assert sequencer.wanted(41, 0.0) is None
    assert [brief(one) for one in sequencer.on_alert(alert(42))] == [42]


def test_alerts_that_the_log_no_longer_holds_are_a_gap() -> None:
    """A log that was shortened does not stop its followers, and they know what they miss."""
    sequencer = Sequencer(have=2, log_id="L")
    sequencer.on_heartbeat(heartbeat(9, low=7))

    assert yielded(sequencer, answer(asked(sequencer, 9), 9, low=7)) == [("gap", 3, 6), 7, 8, 9]


def test_live_alerts_within_a_gap_are_delivered() -> None:
    """The log holds neither, but this one came before it went."""
    sequencer = Sequencer(have=2, log_id="L")
    assert sequencer.on_alert(alert(5)) == []
    sequencer.on_heartbeat(heartbeat(8, low=8))

    expected = [("gap", 3, 4), 5, ("gap", 6, 7), 8]
    assert yielded(sequencer, answer(asked(sequencer, 8), 8, low=8)) == expected


def test_a_log_that_holds_nothing_any_more_is_a_gap_up_to_its_last_number() -> None:
    """All alerts went for their age: the numbers go on."""
    sequencer = Sequencer(have=2, log_id="L")
    sequencer.on_heartbeat(heartbeat(9, low=10))

    assert yielded(sequencer, answer(asked(sequencer, 9), 9, low=10)) == [("gap", 3, 9)]
    assert sequencer.wanted(9, 0.0) is None


def test_a_damaged_alert_is_a_gap_of_one() -> None:
    """A row that cannot be read keeps nobody from those behind it."""
    sequencer = Sequencer(have=0, log_id="L")
    sequencer.on_heartbeat(heartbeat(6))

    pages = answer(asked(sequencer, 6), 6, damaged=(2, 6), size=3)
    assert yielded(sequencer, pages) == [1, ("gap", 2, 2), 3, 4, 5, ("gap", 6, 6)]


def test_a_page_that_went_missing_is_no_gap() -> None:
    """Only what a page says it answers for can be missing in it; the rest is asked for again."""
    sequencer = Sequencer(have=0, log_id="L")
    sequencer.on_heartbeat(heartbeat(9))
    pages = answer(asked(sequencer, 9), 9, size=3)
    del pages[1]

    assert yielded(sequencer, pages) == [1, 2, 3]
    assert yielded(sequencer, answer(asked(sequencer, 9), 9)) == [4, 5, 6, 7, 8, 9]


def test_another_log_is_read_from_its_beginning() -> None:
    """Numbers of one log mean nothing in another, and nobody takes them for the same."""
    sequencer = Sequencer(have=0)
    for n in (1, 2, 3):
        sequencer.on_alert(alert(n))
    sequencer.on_heartbeat(heartbeat(2, log_id="M"))

    pages = answer(asked(sequencer, 2), 2, log_id="M")
    assert yielded(sequencer, pages) == [("log_replaced", "L", "M"), 1, 2]


def test_a_number_that_is_still_to_come_is_waited_for() -> None:
    """Who has read nothing and wants alerts from 100 on has not met an older copy of anything."""
    sequencer = Sequencer(have=99)
    sequencer.on_heartbeat(heartbeat(34))
    assert sequencer.on_alert(alert(35)) == []
    sequencer.on_heartbeat(heartbeat(35))
    assert sequencer.wanted(35, 0.0) is None

    sequencer.on_heartbeat(heartbeat(99))
    assert [brief(one) for one in sequencer.on_alert(alert(100))] == [100]
    sequencer.on_heartbeat(heartbeat(50))  # from now on it is one
    assert yielded(sequencer, answer(asked(sequencer, 50), 50)) == [("log_replaced", "L", "L")]


def test_a_stored_position_meets_another_log() -> None:
    """The log was replaced while nobody listened; what the new one no longer has is a gap."""
    sequencer = Sequencer(have=40, log_id="L")
    sequencer.on_heartbeat(heartbeat(90, low=88, log_id="M"))

    pages = answer(asked(sequencer, 90), 90, low=88, log_id="M")
    expected = [("log_replaced", "L", "M"), ("gap", 1, 87), 88, 89, 90]
    assert yielded(sequencer, pages) == expected


def test_an_older_copy_of_the_log_is_a_replaced_log() -> None:
    """Fewer alerts than were delivered: what comes under their numbers may be something else."""
    sequencer = Sequencer(have=40, log_id="L")
    sequencer.on_heartbeat(heartbeat(30))

    assert yielded(sequencer, answer(asked(sequencer, 30), 30)) == [("log_replaced", "L", "L")]
    assert yielded(sequencer, answer(asked(sequencer, 30), 30)) == list(range(1, 31))


def test_an_old_heartbeat_is_no_replaced_log() -> None:
    """What lay in a queue for long speaks of the past: it makes the follower ask, no more."""
    sequencer = Sequencer(have=40, log_id="M")
    for beat in (heartbeat(30, log_id="M"), heartbeat(500, log_id="L")):
        sequencer.on_heartbeat(beat)
        assert yielded(sequencer, answer(asked(sequencer, beat.last_seq), 41, log_id="M")) in (
            [41],
            [],
        )


def test_a_page_that_live_alerts_overtook_is_no_replaced_log() -> None:
    """It describes the log when it was sent: by now the log has more."""
    sequencer = Sequencer(have=40, log_id="M")
    sequencer.on_heartbeat(heartbeat(39, log_id="M"))
    pages = answer(asked(sequencer, 39), 40, log_id="M")

    assert [brief(one) for one in sequencer.on_alert(alert(41, "M"))] == [41]
    assert yielded(sequencer, pages) == []


def test_an_answer_to_another_question_is_none() -> None:
    """Pages that were under way when the question was asked again say nothing about now."""
    sequencer = Sequencer(have=0, log_id="L")
    stale = answer(asked(sequencer, 3), 3)
    fresh = answer(asked(sequencer, 4, PATIENCE_S), 4)

    assert yielded(sequencer, stale) == []
    assert yielded(sequencer, fresh) == [1, 2, 3, 4]


def test_an_older_copy_that_went_on_is_a_replaced_log() -> None:
    """It has the numbers that were read, and other links: it is read from its beginning."""
    first = [f"a{n}" for n in range(9)]
    then = [*first[:3], *(f"b{n}" for n in range(3, 9))]
    sequencer = Sequencer(have=5, log_id="L", link="a5")

    request = asked(sequencer, 8)
    assert (request.from_seq, request.link) == (6, "a5")
    got = yielded(sequencer, answer(request, 8, links=then, size=3))

    assert got == [("log_replaced", "L", "L"), *range(1, 9)]
    assert sequencer.link == "b8"
    assert sequencer.wanted(8, 0.0) is None


def test_the_next_alert_of_an_older_copy_is_not_delivered() -> None:
    """Its number is the next one, its link is not: the log is asked first."""
    sequencer = Sequencer(have=5, log_id="L", link="a5")

    assert sequencer.on_alert(alert(6, link="b6", link_before="b5")) == []
    request = asked(sequencer, 6)

    assert yielded(sequencer, answer(request, 6, links=[f"b{n}" for n in range(7)])) == [
        ("log_replaced", "L", "L"),
        *range(1, 7),
    ]


def test_a_heartbeat_of_an_older_copy_that_has_come_as_far_makes_it_ask() -> None:
    """As many alerts as were read, others among them: no number shows it."""
    sequencer = Sequencer(have=5, log_id="L", link="a5")
    sequencer.on_heartbeat(heartbeat(5, link="a5"))
    assert sequencer.wanted(5, 0.0) is None
    sequencer.on_heartbeat(heartbeat(5, link="b5"))
    assert asked(sequencer, 5).link == "a5"


def test_a_position_without_a_link_is_continued() -> None:
    """As positions of earlier versions are: numbers alone count, until the next alert has one."""
    sequencer = Sequencer(have=5, log_id="L")
    links = [f"a{n}" for n in range(8)]
    assert yielded(sequencer, answer(asked(sequencer, 7), 7, links=links)) == [6, 7]
    assert sequencer.link == "a7"


def test_unanswered_question_is_asked_again() -> None:
    """A question that went down with a connection does not block the follower for ever."""
    sequencer = Sequencer(have=0)
    sequencer.on_heartbeat(heartbeat(3))
    assert sequencer.wanted(3, 0.0) is not None
    assert sequencer.wanted(3, PATIENCE_S - 0.1) is None
    assert sequencer.wanted(3, PATIENCE_S) is not None


def test_a_long_answer_is_not_asked_for_twice() -> None:
    """Each page renews the patience: a slow reader of a long log gets it once."""
    sequencer = Sequencer(have=0)
    sequencer.on_heartbeat(heartbeat(9))
    for n, page in enumerate(answer(asked(sequencer, 9), 9, size=3)[:2]):
        sequencer.on_page(page, 1.5 * n)

    assert sequencer.wanted(9, 3.0) is None


def test_more_live_alerts_than_can_be_held_do_not_stop_the_old_ones() -> None:
    """Memory is bounded, and what is next is taken however full it is."""
    sequencer = Sequencer(have=0, log_id="L")
    last = MOST_HELD + 100
    for n in range(50, last + 1):
        sequencer.on_alert(alert(n))
    pages = answer(asked(sequencer, last), last, size=48)[:1]
    assert yielded(sequencer, pages) == list(range(1, 49))
    assert [brief(one) for one in sequencer.on_alert(alert(49))] == list(range(49, MOST_HELD + 50))

    again = asked(sequencer, last, PATIENCE_S)
    assert yielded(sequencer, answer(again, last)) == list(range(MOST_HELD + 50, last + 1))
