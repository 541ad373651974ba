"""The QRS of beats in several leads: what is usual there is learned from the one in use."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alarms.beat_rules import BeatAlarms
from pipeline.alarms.leads.shapes import LEARNED, LeadShapes, LeadShapesState
from pipeline.alarms.leads.watch import AT_ONCE_S, LeadWatch
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine, AlarmStateMachineState
from pipeline.errors import SnapshotError
from pipeline.scoring.beat import Beat
from pipeline.scoring.qrs_shape import QrsShape
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
