"""The QRS of beats in several leads: what is usual there is learned from the one in use."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.alarms.beat_rules import BeatAlarms
from pipeline.alarms.leads.shapes import LEARNED, STEP, LeadShapes, LeadShapesState
from pipeline.alarms.leads.watch import AT_ONCE_S, LeadWatch
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine, AlarmStateMachineState
from pipeline.errors import SnapshotError
from pipeline.scoring.beat import Beat
from pipeline.scoring.qrs_shape import AS_USUAL, QrsShape, likeness_unshifted, shape_of
from pipeline.signal.kernels.scoring.shape import SHAPE_NUMBERS, compare
from pipeline.signal.quality import Reason
from tests.support.episodes import beat_at

FS = 1000.0
AT = (np.arange(320) - 140.0) / 360.0
NARROW = np.exp(-((AT / 0.015) ** 2)).astype(np.float32)
WIDE = (-np.exp(-(((AT - 0.03) / 0.05) ** 2))).astype(np.float32)
CONDUCTED = np.stack((NARROW, -NARROW))
VENTRICULAR = np.stack((NARROW, WIDE))
"""The axis of these beats is such that the first lead shows them as usual."""


def beat(
    sample: int,
    windows: NDArray[np.float32],
    likeness: float = 0.99,
    reasons: tuple[Reason, Reason] = (Reason.OK, Reason.OK),
    **facts: bool,
) -> Beat:
    """Return a beat that is seen in the first of two leads, and its likeness there."""
    one = beat_at(sample, **facts)
    one.in_leads, one.reasons_in = windows, list(reasons)
    if one.verdict is not None:
        one.verdict.shape = QrsShape(likeness=likeness, repeats=0.99)
    return one


def learned() -> LeadShapes:
    """Return what has seen as many usual beats as a lead needs."""
    shapes = LeadShapes(LeadShapesState.fresh(2))
    for n in range(LEARNED):
        of_each = shapes.on_beat(beat(1000 * n, CONDUCTED), learns=True)
        assert math.isnan(of_each[1].likeness)
    return shapes


def test_other_lead_knows_its_usual_qrs_from_the_one_in_use() -> None:
    """Where the one shows the usual QRS, so does the other; then it knows what is not."""
    shapes = learned()
    assert shapes.on_beat(beat(9000, CONDUCTED), learns=True)[1].likeness > 0.99
    first, second = shapes.on_beat(beat(9500, VENTRICULAR), learns=False)
    assert first.likeness >= 0.99
    assert second.unusual
    assert second.widening > 1.5


def test_nothing_is_learned_of_what_is_unusual_or_not_seen() -> None:
    """Of beats of another shape, of those that may be ventricular, and of a lead in noise."""
    for windows, likeness, learns, reasons in (
        (VENTRICULAR, 0.5, True, (Reason.OK, Reason.OK)),
        (VENTRICULAR, 0.99, False, (Reason.OK, Reason.OK)),
        (VENTRICULAR, 0.99, True, (Reason.OK, Reason.NOISE)),
    ):
        shapes = LeadShapes(LeadShapesState.fresh(2))
        for n in range(20):
            shapes.on_beat(beat(1000 * n, windows, likeness, reasons), learns=learns)
        assert shapes.state.learned[1] == 0


@pytest.mark.parametrize("likeness", [math.nan, 0.6], ids=["not known", "of long ago"])
def test_lead_that_was_chosen_just_now_keeps_what_was_learned_here(likeness: float) -> None:
    """The live score has seen it only while it was in use; what is usual may have changed since."""
    shapes = learned()
    moved = beat(9000, CONDUCTED, likeness)
    moved.lead = 1
    assert shapes.on_beat(moved, learns=True)[1].likeness > 0.99


def test_alarm_of_a_run_says_what_each_lead_showed() -> None:
    """The QRS in each, or why it cannot be analysed there."""
    machine = AlarmStateMachine("100", FS, AlarmSettings(), AlarmStateMachineState(1, 1))
    alarms = BeatAlarms(machine, FS, AlarmSettings(), leads=("II", "V1"))
    alerts = []
    for n in range(5):
        hidden = (Reason.OK, Reason.NOISE)
        one = beat(1000 + 400 * n, VENTRICULAR, 0.5, hidden)
        one.rr_s, one.probabilities = 0.4, np.array([0.01, 0.02, 0.97, 0.0], dtype=np.float32)
        alerts += alarms.on_beat(one)
    begun = {alert.kind: alert.leads for alert in alerts if alert.state == "on"}
    assert begun["ventricular_tachycardia"] == {"II": "unusual QRS", "V1": "noise"}
    assert begun["anomalous_beat"] is None


def test_state_of_other_leads_is_refused() -> None:
    """A snapshot of three leads is none of two."""
    machine = AlarmStateMachine("100", FS, AlarmSettings())
    state = BeatAlarms(machine, FS, AlarmSettings(), leads=("I", "II", "III")).state
    with pytest.raises(SnapshotError):
        BeatAlarms(machine, FS, AlarmSettings(), state, leads=("I", "II"))
    state = BeatAlarms(machine, FS, AlarmSettings(), leads=("I", "II")).state
    state.said.append(["usual QRS"])
    with pytest.raises(SnapshotError):
        BeatAlarms(machine, FS, AlarmSettings(), state, leads=("I", "II"))


def test_lead_has_found_a_beat_where_its_own_complex_lies_beside_it() -> None:
    """Within 100 ms; one that was confirmed later than is asked for counts for nothing."""
    watch = LeadWatch(("I", "II"), FS)
    near = round(AT_ONCE_S * FS)
    watch.state.complexes = np.array([[0, 5000 - near, 5300], [1, 5000 + near, 5400]])
    assert watch.found_at(5000, 5401) == [True, True]
    assert watch.found_at(5000, 5400) == [True, False]
    assert watch.found_at(5001, 5401) == [False, True]
    assert LeadWatch(("II",), FS).found_at(5000, 5401) == []


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(4900, 5100), st.integers(5290, 5310))))
def test_leads_that_found_a_beat_are_those_of_the_rule(complexes: list[tuple[int, ...]]) -> None:
    """Whatever was found, in whatever order; a lead that is none counts for nothing."""
    watch = LeadWatch(("I", "II", "V1"), FS)
    watch.state.complexes = np.array(complexes, dtype=np.int64).reshape(-1, 3)
    near = AT_ONCE_S * FS
    found = {lead for lead, r, known_at in complexes if abs(r - 5000) <= near and known_at < 5300}
    assert watch.found_at(5000, 5300) == [lead in found for lead in range(3)]


class OneByOne:
    """What `LeadShapes` keeps and finds, lead after lead."""

    def __init__(self, leads: int) -> None:
        self.usual, self.before = np.zeros((2, leads, 320), np.float32)
        self.learned = [0] * leads

    def on_beat(self, beat: Beat, *, learns: bool) -> list[QrsShape]:
        """Take in a beat that is seen in the first lead; return its shape in each."""
        assert beat.in_leads is not None
        assert beat.verdict is not None
        shapes = [QrsShape()] * len(self.learned)
        for lead, window in enumerate(beat.in_leads):
            usual, known = self.usual[lead], self.learned[lead] == LEARNED
            if not beat.usable_in[lead]:
                continue
            if lead == beat.lead:
                shapes[lead] = its = beat.verdict.shape
                here = likeness_unshifted(window, usual) if known else math.nan
                if its.likeness < AS_USUAL and here >= AS_USUAL:
                    shapes[lead] = QrsShape(likeness=here)
            elif known:
                before, numbers = self.before[lead], np.empty(SHAPE_NUMBERS)
                one, follows = np.ones(1, np.bool_), bool(before.any())
                compare(window, usual[None], one, 1, before, follows, numbers)
                shapes[lead] = shape_of(numbers.tolist())
        self.before = np.where(np.array(beat.usable_in)[:, None], beat.in_leads, np.float32(0.0))
        if learns and shapes[beat.lead].likeness >= AS_USUAL:
            for lead in np.flatnonzero(beat.usable_in):
                known = self.learned[lead] == LEARNED
                self.learned[lead] += not known
                step = np.float32(STEP if known else 1.0 / self.learned[lead])
                self.usual[lead] += step * (beat.in_leads[lead] - self.usual[lead])
        return shapes


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_all_leads_at_once_are_as_one_after_the_other(seed: int) -> None:
    """Bit for bit, whatever beats come, and whichever leads can be analysed."""
    rng = np.random.default_rng(seed)
    shapes, others = LeadShapes(LeadShapesState.fresh(2)), OneByOne(2)
    for n in range(40):
        windows = VENTRICULAR if rng.random() < 0.3 else CONDUCTED
        windows = windows + rng.normal(0, 0.03, windows.shape).astype(np.float32)
        reasons = (Reason.OK, Reason.NOISE if rng.random() < 0.2 else Reason.OK)
        one = beat(1000 * n, windows, float(rng.choice([0.99, 0.97, 0.5])), reasons)
        learns = bool(rng.random() < 0.8)
        found = [msgspec.structs.astuple(its) for its in shapes.on_beat(one, learns=learns)]
        expected = [msgspec.structs.astuple(its) for its in others.on_beat(one, learns=learns)]
        np.testing.assert_array_equal(found, expected)
        assert shapes.state.learned == others.learned
        np.testing.assert_array_equal(shapes.state.usual, others.usual)
        np.testing.assert_array_equal(shapes.state.before, others.before)
