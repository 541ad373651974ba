"""Which states are due to be written: those of many events or old ones, few at a time."""

from pipeline.log.unsaved import SNAPSHOT_EVENTS, SNAPSHOT_S, Unsaved


def test_streams_that_begin_together_are_not_written_together() -> None:
    """Each state is due once, a few with each commit, in the order of their events."""
    unsaved, names = Unsaved(), [f"bed-{n}" for n in range(100)]
    for number in range(SNAPSHOT_EVENTS):
        for n, name in enumerate(names):
            unsaved.add(name, 100 * number + n + 1, 0.0)
    written: list[str] = []
    while due := unsaved.due(0.0):
        assert len(due) <= 16
        written += unsaved.take(sorted(due, key=names.index))
    assert written == names


def test_an_old_event_makes_a_state_due() -> None:
    """The oldest first, which also says from where on the journal is needed."""
    unsaved = Unsaved()
    for number in range(1, 11):
        unsaved.add(f"bed-{number}", number, number / 10)
    assert unsaved.due(SNAPSHOT_S) == set()
    assert unsaved.due(SNAPSHOT_S + 0.2) == {"bed-1", "bed-2"}
    assert unsaved.first(["bed-1", "bed-3"]) == 2
    assert len(unsaved.due(2 * SNAPSHOT_S)) == 4


def test_what_was_not_written_is_as_if_it_had_not_been_tried() -> None:
    """Events since are counted with those before; the one with the oldest is the first again."""
    tried, untried = Unsaved(), Unsaved()
    for one in (tried, untried):
        for number in range(1, SNAPSHOT_EVENTS):
            one.add("a" if number % 2 else "b", number, number / 100)
        one.add("c", SNAPSHOT_EVENTS, 3.0)
    taken = tried.take(["b", "a"])
    for one in (tried, untried):
        for number in range(300, 300 + SNAPSHOT_EVENTS // 2):
            one.add("a", number, 4.0)
            one.add("d", number, 4.0)
    tried.give_back(taken)
    for now in (0.0, 10.5, 20.0):
        assert tried.due(now) == untried.due(now)
    for but in ((), ("a",), ("a", "b"), ("a", "b", "c")):
        assert tried.first(but) == untried.first(but)
    assert tried.streams == {"a", "b", "c", "d"}
