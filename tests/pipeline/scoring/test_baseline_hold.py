"""When nothing is learned: in a fast stretch of unusual beats, and not for ever."""

from pipeline.scoring.baseline_hold import HELD_AT_MOST, WIDE_MS, BaselineHold
from pipeline.scoring.qrs_shape import QrsShape

USUAL = QrsShape(likeness=0.99)
UNUSUAL = QrsShape(likeness=0.4, repeats=0.98, width_ms=180.0, widening=2.0)


def held(beats: str, rr_s: float = 0.4) -> list[bool]:
    """Return which beats, U for unusual, are not learned from."""
    hold = BaselineHold()
    return [hold.on_beat(rr_s, UNUSUAL if beat == "U" else USUAL) for beat in beats]


def test_from_the_third_beat_of_a_fast_stretch_on_nothing_is_learned() -> None:
    """An ectopic beat and a couplet are learned as before: early, and so not usual."""
    assert held("NUNUUNNUUUU") == [False] * 9 + [True] * 2


def test_a_usual_beat_in_five_does_not_end_it() -> None:
    """That beat is learned; those after it are not."""
    assert held("UUUUNUUUUNUU")[5:] == [True] * 4 + [False] + [True] * 2


def test_bigeminy_is_no_stretch() -> None:
    """Whatever came before it, it is learned as ever."""
    assert not any(held("UUUU" + "NU" * 50)[10:])


def test_slow_unusual_beats_are_learned() -> None:
    """Pacing begins, or a bundle branch blocks, at 75 bpm."""
    assert not any(held("U" * 50, 0.8))


def test_a_rhythm_that_stays_is_learned_in_the_end() -> None:
    """Nothing is held for ever; after the stretch the next one is held again."""
    found = held("U" * (HELD_AT_MOST + 50) + "NNN" + "UUU")
    assert sum(found[: HELD_AT_MOST + 50]) == HELD_AT_MOST
    assert not any(found[HELD_AT_MOST + 2 : -1])
    assert found[-1]


def test_stream_that_begins_wide_and_fast_learns_no_baseline() -> None:
    """Only where the beats repeat themselves at 120 bpm and are wide."""
    for width_ms, repeats, rr_s, expected in (
        (180.0, 0.98, 0.4, True),
        (100.0, 0.98, 0.4, False),
        (180.0, 0.5, 0.4, False),
        (180.0, 0.98, 0.55, False),
        (WIDE_MS, 0.95, 0.5, True),
    ):
        hold = BaselineHold()
        shape = QrsShape(repeats=repeats, width_ms=width_ms)
        assert [hold.on_beat(rr_s, shape) for _ in range(4)][-1] is expected
