"""A subscriber gets every alert exactly once and in order, whatever is lost on the way."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.client import Follower
from pipeline.public import Alert, Heartbeat, ReplayPage


def alert(seq: int, log_id: str = "L") -> Alert:
    """Return the alert with this number."""
    return Alert(
        log_id=log_id,
        seq=seq,
        stream="100",
        kind="anomalous_beat",
        category="physiological",
        priority="low",
        sample=seq,
        time_s=0.0,
        reason="",
    )


def heartbeat(last: int, low: int = 1, log_id: str = "L") -> Heartbeat:
    """Return the heartbeat of a log that ends at ``last``."""
    return Heartbeat(log_id=log_id, last_seq=last, low_water_seq=low)


def page(follower: Follower, last: int, low: int = 1, log_id: str = "L") -> list[int]:
    """Let a follower ask and answer it in full; return the numbers it delivers."""
    request = follower.wanted(last)
    if request is None:
        return []
    first = max(low, request.from_seq if request.log_id in ("", log_id) else low)
    alerts = [alert(n, log_id) for n in range(first, last + 1)]
    answer = ReplayPage(log_id=log_id, low_water_seq=low, last_seq=last, alerts=alerts, end=True)
    return [one.seq for one in follower.on_page(answer)]


@given(
    st.lists(st.sampled_from(["live", "lost", "twice"]), max_size=60),
    st.integers(0, 30),
    st.integers(0, 2**32 - 1),
)
def test_every_alert_is_delivered_once_and_in_order(
    fates: list[str], already: int, seed: int
) -> None:
    """Live alerts may be lost or repeated; with the replay nothing is missing or twice."""
    follower = Follower(have=0)
    delivered: list[int] = []
    last = already
    for at, fate in enumerate(fates):
        last += 1
        for _ in range({"live": 1, "lost": 0, "twice": 2}[fate]):
            delivered += [one.seq for one in follower.on_alert(alert(last))]
        if (seed >> (at % 32)) & 1:
            follower.on_heartbeat(heartbeat(last))
            delivered += page(follower, last)
    follower.on_heartbeat(heartbeat(last))
    delivered += page(follower, last)

    assert delivered == list(range(1, last + 1))
    assert follower.wanted(last) is None


def test_late_joiner_without_a_position_starts_with_what_comes() -> None:
    """Without a number to begin at, only new alerts are delivered."""
    follower = Follower(have=None)
    follower.on_heartbeat(heartbeat(41))

    assert follower.wanted(41) is None
    assert [one.seq for one in follower.on_alert(alert(42))] == [42]


def test_alerts_that_the_log_no_longer_holds_are_counted_as_missed() -> None:
    """A log that was shortened does not stop its followers, and they know."""
    follower = Follower(have=2)
    follower.on_heartbeat(heartbeat(9, low=7))

    assert page(follower, 9, low=7) == [7, 8, 9]
    assert follower.missed == 4


def test_another_log_is_read_from_its_beginning() -> None:
    """Numbers of one log mean nothing in another."""
    follower = Follower(have=0)
    for n in (1, 2, 3):
        follower.on_alert(alert(n))
    follower.on_heartbeat(heartbeat(2, log_id="M"))

    assert page(follower, 2, log_id="M") == [1, 2]
    assert follower.replaced == 1


def test_unanswered_question_is_asked_again() -> None:
    """A question that went down with a connection does not block the follower for ever."""
    follower = Follower(have=0)
    follower.on_heartbeat(heartbeat(3))
    assert follower.wanted(3) is not None
    assert follower.wanted(3) is None

    for _ in range(8):
        follower.on_heartbeat(heartbeat(3))

    assert follower.wanted(3) is not None
