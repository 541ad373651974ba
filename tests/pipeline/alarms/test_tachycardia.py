"""A stretch of fast beats as a whole: what is a ventricular tachycardia and what is not."""

import numpy as np
import pytest

from pipeline.alarms.stretches.tachycardia import ONE_FOCUS_S, StretchBeat, tachycardia_of
from pipeline.scoring.qrs_shape import QrsShape

WIDE = QrsShape(likeness=0.3, repeats=0.98, width_ms=170.0, widening=1.8)
NARROW = QrsShape(likeness=0.6, repeats=0.98, width_ms=95.0, widening=0.95)
SIMILAR = QrsShape(likeness=0.87, repeats=0.99, width_ms=160.0, widening=1.7)
USUAL = QrsShape(likeness=0.99)
FIRST = QrsShape(repeats=0.98, width_ms=170.0)


def stretch(
    names: str, shapes: list[QrsShape] | QrsShape, rr_s: list[float] | float = 0.4
) -> list[StretchBeat]:
    """Return beats with names V, other or ? and with shapes and intervals."""
    n = len(names)
    each = shapes if isinstance(shapes, list) else [shapes] * n
    intervals = rr_s if isinstance(rr_s, list) else [rr_s] * n
    samples = np.cumsum(np.round(np.array(intervals) * 360)).astype(int).tolist()
    return [
        StretchBeat(at, rr, None if name == "?" else name == "V", shape)
        for at, rr, name, shape in zip(samples, intervals, names, each, strict=True)
    ]


def is_named(beats: list[StretchBeat]) -> bool:
    """Return whether the latest five beats, or more, are a tachycardia."""
    return tachycardia_of(beats, 5) > 0


@pytest.mark.parametrize("names", ["VVSVV", "VVVVF", "NVVVV", "SSSSS", "?S?S?"])
def test_names_do_not_matter_where_the_beats_are_foreign_and_alike(names: str) -> None:
    """Wide, far from usual, regular, one like the other: whatever the classifier calls them."""
    assert is_named(stretch(names, WIDE))


CHANGING = QrsShape(likeness=0.5, repeats=0.5, width_ms=150.0, widening=1.4)
UNEVEN = [0.68, 0.37, 0.64, 0.34, 0.7]


def test_named_beats_that_repeat_half_or_keep_time_are_one() -> None:
    """A tachycardia may change its shape or its time; where nobody compared shapes, both."""
    alike = QrsShape(likeness=0.5, repeats=0.92, width_ms=150.0, widening=1.4)
    assert is_named(stretch("VVVVV", [CHANGING, CHANGING, alike, CHANGING, alike], UNEVEN))
    assert is_named(stretch("VVVVV", CHANGING, [0.7, 0.4, 0.45, 0.44, 0.4]))
    assert is_named(stretch("VVVVV", QrsShape(), UNEVEN))


def test_named_beats_of_changing_shape_and_time_are_motion() -> None:
    """So motion at 60 a minute looks on top of a sinus rhythm of 75, which it hides."""
    assert not is_named(stretch("VVVVV", CHANGING, UNEVEN))
    assert not is_named(stretch("N" * 8 + "V" * 5, CHANGING, [*UNEVEN, *UNEVEN, 0.3, 0.7, 0.4]))


def test_changing_tachycardia_begins_on_the_own_rhythm() -> None:
    """Half of the eight beats before it have the usual QRS, as with every second beat ectopic."""
    for before in ([USUAL] * 8, [USUAL, WIDE] * 4):
        beats = stretch("N" * 8 + "V" * 5, [*before, *[CHANGING] * 5], [0.8] * 8 + UNEVEN)
        assert is_named(beats)
    hidden = [USUAL] * 3 + [QrsShape()] * 5
    assert not is_named(stretch("?" * 8 + "V" * 5, [*hidden, *[CHANGING] * 5], [0.8] * 8 + UNEVEN))


def test_names_alone_do_not_make_usual_beats_ventricular() -> None:
    """Their QRS is the one that this patient has."""
    assert not is_named(stretch("VVVVV", USUAL))


def test_conducted_beat_between_couplets_is_none() -> None:
    """Two ventricular ones, a sinus beat, two ventricular ones."""
    assert not is_named(stretch("VVNVV", [WIDE, WIDE, USUAL, WIDE, WIDE]))


def test_supraventricular_tachycardia_is_none() -> None:
    """It has the usual QRS, or one a little changed by its rate, or a narrow one."""
    for shape in (USUAL, SIMILAR, NARROW):
        assert not is_named(stretch("SSSSS", shape))


def test_irregular_beats_are_none_by_their_shape_alone() -> None:
    """Atrial fibrillation with aberrant beats; one odd interval of four is none of it."""
    assert not is_named(stretch("SSSSS", WIDE, [0.4, 0.33, 0.52, 0.41, 0.6]))
    assert is_named(stretch("SSSSS", WIDE, [0.8, 0.4, 0.41, 0.3, 0.4]))


def test_what_does_not_repeat_itself_is_none_by_its_shape_alone() -> None:
    """Motion of an electrode has another shape each time."""
    motion = QrsShape(likeness=0.3, repeats=0.5, width_ms=170.0, widening=1.8)
    assert not is_named(stretch("SSSSS", motion))
    assert not is_named(stretch("VVSVV", motion))


def test_beats_that_nobody_named_are_of_one_focus_for_a_second_and_a_half() -> None:
    """At 240 bpm seven of them, and all those are it; named ones are it from the fifth on."""
    fast = 0.25
    assert 6 * fast == ONE_FOCUS_S
    assert tachycardia_of(stretch("S" * 6, WIDE, fast), 5) == 0
    assert tachycardia_of(stretch("S" * 9, WIDE, fast), 5) == 7
    assert tachycardia_of(stretch("V" * 5, WIDE, fast), 5) == 5
    assert tachycardia_of(stretch("NN" + "S" * 6, [USUAL] * 2 + [WIDE] * 6, fast), 5) == 0


def test_tachycardia_of_a_patient_with_wide_beats_need_not_be_wider() -> None:
    """As wide as a bundle branch block, but of another shape."""
    shape = QrsShape(likeness=0.2, repeats=0.98, width_ms=170.0, widening=0.9)
    assert is_named(stretch("SSSSS", shape))


def test_beginning_of_a_stream_in_a_wide_tachycardia() -> None:
    """Nothing is usual yet: 150 bpm and 170 ms are enough, 109 bpm or 100 ms are not."""
    assert is_named(stretch("NNNNN", FIRST))
    assert not is_named(stretch("NNNNN", FIRST, 0.55))
    assert not is_named(stretch("NNNNN", QrsShape(repeats=0.98, width_ms=100.0)))


def in_leads(names: str, *leads: list[QrsShape], rr_s: list[float] | float = 0.4) -> bool:
    """Return whether beats are a tachycardia that have these shapes in each lead, seen in one."""
    beats = stretch(names, leads[0], rr_s)
    for beat, shapes in zip(beats, zip(*leads, strict=True), strict=True):
        beat.in_leads = list(shapes)
    return is_named(beats)


def test_tachycardia_that_another_lead_shows_repeat_itself_is_one() -> None:
    """Its complexes may lie across one lead, which then shows what moves the electrode."""
    small = [QrsShape(likeness=0.7, repeats=0.5, width_ms=110.0, widening=1.1)] * 5
    assert not is_named(stretch("VVVVV", small, UNEVEN))
    assert in_leads("VVVVV", small, [WIDE] * 5, rr_s=UNEVEN)
    assert in_leads("VVVSV", small, [WIDE] * 5)


def test_lead_in_which_the_shape_of_a_beat_is_not_known_shows_no_tachycardia() -> None:
    """Nothing is known of the QRS in noise, and nothing before eight usual beats were seen."""
    unknown = [WIDE, WIDE, QrsShape(), WIDE, WIDE]
    assert not in_leads("VVVVV", [CHANGING] * 5, unknown, rr_s=UNEVEN)


def foreign_in_second(names: str, first: QrsShape, *, doubtful: bool) -> bool:
    """Return whether beats are a tachycardia that only a second lead shows foreign and wide."""
    beats = stretch(names, first)
    for beat in beats:
        beat.in_leads, beat.doubtful = [first, WIDE], doubtful
    return is_named(beats)


@pytest.mark.parametrize("first", [SIMILAR, NARROW, QrsShape()])
def test_one_lead_is_enough_that_shows_beats_foreign_and_wide(first: QrsShape) -> None:
    """A QRS is as wide as in the lead that shows it widest; in another it may look narrow."""
    assert not is_named(stretch("SSSSS", first))
    assert foreign_in_second("SSSSS", first, doubtful=True)
    assert foreign_in_second("?????", first, doubtful=False)


def test_names_without_doubt_count_before_the_shape_in_one_of_several_leads() -> None:
    """The more leads there are, the sooner one of them looks foreign by chance."""
    assert not foreign_in_second("SSSSS", SIMILAR, doubtful=False)
    assert not foreign_in_second("SSVSS", SIMILAR, doubtful=False)
    assert foreign_in_second("SVSVV", SIMILAR, doubtful=False)


def test_names_do_not_count_in_several_leads_where_a_stream_begins() -> None:
    """Nothing is usual yet: a wide fast rhythm is one with two leads as it is with one."""
    assert in_leads("NNNNN", [FIRST] * 5, [QrsShape()] * 5)


def test_beats_that_a_lead_shows_as_usual_are_none_by_their_shape_alone() -> None:
    """What starts in a ventricle spreads another way, and mostly shows so in every lead."""
    assert not foreign_in_second("SSSSS", USUAL, doubtful=True)
    assert not in_leads("VVVVV", [USUAL] * 5, [USUAL] * 5)


@pytest.mark.parametrize(("found", "whole"), [(5, True), (3, True), (2, False)])
def test_changing_complexes_that_another_lead_has_not_found_are_motion(
    found: int, whole: bool
) -> None:
    """A ventricle that is excited shows in all leads at once; an electrode moves by itself."""
    beats = stretch("N" * 8 + "V" * 5, [USUAL] * 8 + [CHANGING] * 5, [0.8] * 8 + UNEVEN)
    for n, beat in enumerate(beats):
        beat.in_leads, beat.found_in = [beat.shape] * 2, [True, n < 8 + found]
    assert is_named(beats) == whole
    for beat in beats[8:]:
        beat.in_leads = [beat.shape, QrsShape()]
    assert is_named(beats), "a lead that cannot be analysed contradicts nothing"


def test_changing_beats_beside_the_usual_qrs_of_another_lead_are_motion() -> None:
    """An electrode that moves as the own rhythm goes on: the other lead shows it."""
    shown = [USUAL] * 8 + [CHANGING] * 5
    rr_s = [0.8] * 8 + UNEVEN
    assert in_leads("N" * 8 + "V" * 5, shown, shown, rr_s=rr_s)
    assert not in_leads("N" * 8 + "V" * 5, shown, [USUAL] * 13, rr_s=rr_s)
