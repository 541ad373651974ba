"""Three beats that are a ventricular run by how they begin, and three that are none."""

import math

import pytest

from pipeline.alarms.settings import DEFAULTS
from pipeline.alarms.stretches.short_runs import is_run
from pipeline.alarms.stretches.tachycardia import StretchBeat
from pipeline.alarms.ventricular import VentricularRhythm
from pipeline.scoring.qrs_shape import QrsShape

FS = 100.0
USUAL = QrsShape(likeness=0.99)
OTHER = QrsShape(likeness=0.87, repeats=0.9, width_ms=105.0, widening=1.0)
ANYTHING = QrsShape(likeness=0.5, repeats=0.2, width_ms=105.0, widening=1.0)

Row = tuple[QrsShape, float, bool | None, bool]
SINUS: Row = (USUAL, 0.8, False, False)
FIRST: Row = (OTHER, 0.45, False, True)
NEXT: Row = (OTHER, 0.4, False, False)


def beats_of(*rows: Row) -> list[StretchBeat]:
    """Return beats of (shape, interval before in s, named ventricular, may be ventricular)."""
    beats, at_s = [], 10.0
    for shape, rr_s, ventricular, doubtful in rows:
        at_s += 0.8 if math.isnan(rr_s) else rr_s
        beats.append(StretchBeat(round(at_s * FS), rr_s, ventricular, shape, doubtful))
    return beats


def test_another_qrs_from_a_premature_beat_on_is_a_run() -> None:
    """Named otherwise, and no wider than usual: three beats after one of the patient's own."""
    assert is_run(beats_of(SINUS, SINUS, FIRST, NEXT, NEXT))


@pytest.mark.parametrize(
    "rows",
    [
        (SINUS, SINUS, FIRST, NEXT),
        (FIRST, NEXT, NEXT),
        (SINUS, (USUAL, 0.45, False, False), FIRST, NEXT, NEXT),
        (SINUS, NEXT, FIRST, NEXT, NEXT),
        (SINUS, FIRST, NEXT, (USUAL, 0.4, False, False)),
        (SINUS, FIRST, NEXT, (USUAL, 0.4, True, True)),
        (SINUS, NEXT, NEXT, NEXT),
        (SINUS, FIRST, NEXT, (ANYTHING, 0.4, False, True)),
        (SINUS, FIRST, NEXT, (OTHER, 0.9, False, False)),
        (SINUS, FIRST, (OTHER, 0.7, False, False), (OTHER, 0.22, False, False)),
        (SINUS, FIRST, NEXT, (OTHER, 0.4, None, False)),
        ((USUAL, math.nan, False, False), FIRST, NEXT, NEXT),
    ],
    ids=[
        "two",
        "nothing before",
        "the usual QRS begins it: supraventricular, then aberrant",
        "within a stretch of such beats",
        "the usual QRS ends it",
        "the usual QRS, named ventricular, ends it",
        "none may be ventricular",
        "not alike: an electrode moves",
        "slow",
        "a T wave found as well",
        "one that nobody can judge",
        "the interval before is not known",
    ],
)
def test_what_begins_or_goes_on_otherwise_is_none(rows: tuple[Row, ...]) -> None:
    """One thing less than a run each."""
    assert not is_run(beats_of(*rows))


def test_run_begins_with_its_first_beat_and_grows() -> None:
    """Raised at its third beat, it takes in a fourth that is named, and ends with a sinus beat."""
    rhythm = VentricularRhythm(DEFAULTS, FS)
    rows = (SINUS, FIRST, NEXT, NEXT, (OTHER, 0.4, True, True), SINUS)
    beats = beats_of(*rows)
    found = [
        change
        for one in beats
        for change in rhythm.on_beat(
            one.sample, one.rr_s, one.ventricular, one.shape, doubtful=one.doubtful
        )
    ]
    at = [one.sample for one in beats]
    assert [(one.kind, one.active, one.sample, one.begun_at) for one in found] == [
        ("ventricular_run", True, at[3], at[1]),
        ("ventricular_run", False, at[5], at[4]),
    ]
    assert [one.beats for one in found] == [3, 4]
