"""Ventricular beats in a row: couplets, runs, tachycardia, bigeminy; and what looks ventricular."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alarms.settings import DEFAULTS
from pipeline.alarms.ventricular import RhythmChange, VentricularRhythm
from pipeline.scoring.qrs_shape import QrsShape

FS = 100.0
KNOWN = {"V": True, "N": False, "?": None, "S": False, "U": False, "*": None, "C": True}
WIDE = QrsShape(likeness=0.3, repeats=0.98, width_ms=170.0, widening=1.8)
SHAPES = {
    "N": QrsShape(likeness=0.99),
    "V": WIDE,
    "S": WIDE,
    "*": WIDE,
    "U": QrsShape(likeness=0.5, repeats=0.1, width_ms=100.0, widening=1.0),
    "C": QrsShape(likeness=0.99),
}
"""S is none of the patient's own beats and repeats itself, * is one that fibrillation hides; U is
none of them either, and like nothing before; C is named ventricular and has the usual QRS."""


def found_in(beats: str, rr_s: float = 0.5) -> list[tuple[int, RhythmChange]]:
    """Return (beat, found) for beats written as keys of `KNOWN`, evenly spaced."""
    rhythm = VentricularRhythm(DEFAULTS, FS)
    found = []
    for n, kind in enumerate(beats):
        sample = round((n + 1) * rr_s * FS)
        before = np.nan if n == 0 else rr_s
        shape = SHAPES.get(kind)
        found += [(n, one) for one in rhythm.on_beat(sample, before, KNOWN[kind], shape)]
    return found


def brief(beats: str, rr_s: float = 0.5) -> list[tuple[int, str, bool]]:
    """Return the beat, the kind, and whether it begins."""
    return [(n, one.kind, one.active) for n, one in found_in(beats, rr_s)]


def test_two_are_a_couplet_once_the_third_is_none() -> None:
    """Found with the beat after it; one alone is nothing."""
    assert brief("NVVN") == [(3, "couplet", True)]
    assert brief("NVNN") == []


def test_three_are_a_run_and_five_fast_ones_a_tachycardia() -> None:
    """At 120 bpm; the run is found at its third beat, and is over with the tachycardia."""
    assert brief("NVVVVN") == [(3, "ventricular_run", True), (5, "ventricular_run", False)]
    found = found_in("NVVVVVVN" + "NN")
    assert [(n, one.kind, one.active) for n, one in found] == [
        (3, "ventricular_run", True),
        (5, "ventricular_tachycardia", True),
        (9, "ventricular_tachycardia", False),
        (9, "ventricular_run", False),
    ]
    begin = found[1][1]
    assert (begin.beats, begin.bpm, begin.begun_at) == (5, pytest.approx(120.0), 100)


def test_slow_ones_are_no_tachycardia() -> None:
    """At 90 bpm five ventricular beats are a run."""
    kinds = {one.kind for _, one in found_in("N" + "V" * 12 + "N", 60 / 90)}
    assert kinds == {"ventricular_run"}


def test_odd_beats_do_not_break_a_tachycardia_in_two() -> None:
    """Two that are called otherwise do not, three do."""
    kinds = [kind for _, kind, _ in brief("VVVVVVNNVVVVNVVVNNN")]
    assert kinds.count("ventricular_tachycardia") == 2  # one beginning, one end


@pytest.mark.parametrize("beats", ["NNVSVVVNNN", "NNSSSSSSNNN", "NN*****NNN", "NNVVSVVNNN"])
def test_misnamed_beats_do_not_hide_a_tachycardia(beats: str) -> None:
    """Its fifth beat tells, from its first on, and it is over with the third other beat."""
    found = [(n, one) for n, one in found_in(beats) if one.kind == "ventricular_tachycardia"]
    assert [(n, one.active) for n, one in found] == [(6, True), (len(beats) - 1, False)]
    assert found[0][1].begun_at == 150


def test_tachycardia_goes_on_with_beats_that_are_not_named() -> None:
    """What looks ventricular counts: the rate is that of all its beats."""
    kinds = [kind for _, kind, _ in brief("NVVVVV" + "SVSSVS" * 10 + "NNN")]
    assert kinds.count("ventricular_tachycardia") == 2


def test_unusual_beat_between_ventricular_ones_is_part_of_the_run() -> None:
    """So is one before two of them; a usual beat is not, nor one that two follow none."""
    for beats, at in (("NNVUVN", 4), ("NNUVVN", 4), ("NNVVUVN", 5)):
        assert brief(beats)[0] == (at, "ventricular_run", True)
    assert brief("NNVNVN") == []
    assert brief("NNVUNN") == []
    assert brief("NNUVNN") == []


@pytest.mark.parametrize(("last_s", "is_run"), [(0.22, False), (0.4, True)])
def test_complex_that_is_found_twice_makes_no_run(last_s: float, *, is_run: bool) -> None:
    """A T wave comes within a third of the interval before it: the ventricles are refractory."""
    rhythm = VentricularRhythm(DEFAULTS, FS)
    found, at_s = [], 1.0
    for kind, rr_s in (("N", 0.8), ("V", 0.5), ("U", 0.9), ("V", last_s), ("N", 0.9)):
        at_s += rr_s
        found += list(rhythm.on_beat(round(at_s * FS), rr_s, KNOWN[kind], SHAPES[kind]))
    assert [one.kind for one in found if one.active] == (["ventricular_run"] if is_run else [])


def test_unusual_beat_behind_two_ventricular_ones_leaves_them_a_couplet() -> None:
    """It may be the T wave of the second."""
    assert brief("NNVVUNN") == [(5, "couplet", True)]


def test_beat_with_the_usual_qrs_is_part_of_no_run_whatever_its_name() -> None:
    """It was conducted, as a sinus beat soon after a ventricular one that is misnamed."""
    assert brief("NVCVCN") == []
    assert brief("NVVCN") == [(3, "couplet", True)]


def test_beat_with_the_usual_qrs_does_not_end_a_tachycardia() -> None:
    """Once that is found, a name is enough."""
    kinds = [kind for _, kind, _ in brief("NVVVVVCCCVNNN")]
    assert kinds.count("ventricular_tachycardia") == 2


def test_unknown_beat_is_part_of_no_run() -> None:
    """Nobody knows what it was."""
    assert [kind for _, kind, _ in brief("VV?VVN")] == ["couplet", "couplet"]


def test_every_second_beat_is_bigeminy_from_the_third_cycle_on() -> None:
    """Until two alike follow each other."""
    assert brief("NVNVNVNVNN") == [(5, "bigeminy", True), (9, "bigeminy", False)]
    assert brief("NVNVN") == []


def test_gap_ends_a_run() -> None:
    """Beats on both sides of a stretch without signal are not in a row."""
    rhythm = VentricularRhythm(DEFAULTS, FS)
    found = []
    for n in range(8):
        rr_s = np.nan if n in (0, 4) else 0.5
        found += list(rhythm.on_beat(50 * (n + 1), rr_s, True))
    assert "ventricular_tachycardia" not in {one.kind for one in found}


@given(st.text("VN?", max_size=60), st.sampled_from([0.4, 0.55, 0.62, 0.8]))
def test_tachycardia_is_where_a_slow_look_finds_it(beats: str, rr_s: float) -> None:
    """First found at the fifth ventricular beat of a row that is fast enough, or not at all."""
    fast = 60 / rr_s >= DEFAULTS.tachycardia_bpm
    at = beats.find("V" * DEFAULTS.tachycardia_beats) if fast else -1
    begins = [n for n, kind, there in brief(beats, rr_s) if there and "tachy" in kind]
    if at < 0:
        assert begins == []
    else:
        assert begins[0] == at + DEFAULTS.tachycardia_beats - 1


@given(st.text("VN?", max_size=60))
def test_what_begins_ends_before_it_begins_again(beats: str) -> None:
    """Tachycardia, run and bigeminy take turns of beginning and end; couplets only begin."""
    there: set[str] = set()
    for _, kind, begins in brief(beats):
        if kind == "couplet":
            continue
        assert (kind in there) != begins
        there ^= {kind}


def test_a_run_of_a_day_takes_no_memory_and_is_counted_whole() -> None:
    """A hundred thousand ventricular beats: as many are counted at its end."""
    rhythm = VentricularRhythm(DEFAULTS, FS)
    found = [one for n in range(100_000) for one in rhythm.on_beat(50 * n, 0.5, True)]
    assert len(rhythm.state.run) <= 99
    for n in range(4):
        found += rhythm.on_beat(50 * (100_000 + n), 0.5, False)
    assert [(one.kind, one.active, one.beats) for one in found][-2:] == [
        ("ventricular_tachycardia", False, 100_000),
        ("ventricular_run", False, 100_000),
    ]
