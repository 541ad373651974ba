"""A heart fibrillates in every lead: not in one while another shows beats, whatever their shape."""

import numpy as np
import pytest

from pipeline.alarms.leads.beating import beating_to
from pipeline.alarms.organisation import BEATS
from pipeline.alarms.settings import DEFAULTS
from pipeline.alarms.signal_rules import SignalAlarms
from pipeline.alarms.signal_state import SignalAlarmsState
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.errors import SnapshotError
from pipeline.scoring.beat import InLeads
from pipeline.signal.leads.rhythm_agreement import BEATS_ON_S
from pipeline.signal.quality import Reason
from pipeline.signal.segment import FibrillationChange

FS = 360.0
BEAT_S = 0.7
SECOND = 360


def shown(
    spacing_s: float = BEAT_S, alike: float = 0.95, beats: int = 6, leads: tuple[int, ...] = (0,)
) -> int:
    """Return up to where the first of two leads shows beats; the other is unlike itself."""
    at = [round(n * spacing_s * FS) for n in range(beats)]
    likeness = np.stack((np.full(16, alike), np.full(16, 0.3)))
    return beating_to(at, likeness, leads, FS)


def test_complexes_that_repeat_and_are_spaced_are_beats() -> None:
    """For four seconds from the latest but one: 30 bpm, and one may be chance."""
    latest_but_one = round(4 * BEAT_S * FS)
    assert shown() == latest_but_one + round(BEATS_ON_S * FS)
    assert shown(leads=(0, 1)) == shown()
    assert shown(beats=2) == 0


@pytest.mark.parametrize(
    "waves",
    [{"spacing_s": 0.4}, {"alike": 0.85}, {"alike": np.nan}, {"leads": (1,)}, {"leads": ()}],
    ids=["too fast", "not alike", "not known", "the other lead", "none that can tell"],
)
def test_waves_of_fibrillation_are_none(waves: dict[str, float]) -> None:
    """They come at 150 a minute and more, or every second one is found, less alike."""
    assert shown(**waves) == 0  # type: ignore[arg-type]


def patient(*, alike: bool = True, fibrillates: int = 1) -> SignalAlarms:
    """Return the rules of two leads after nine beats; one lead fibrillates, or both (2)."""
    rng, alarms = (
        np.random.default_rng(1),
        SignalAlarms(
            AlarmStateMachine("s", FS, DEFAULTS),
            FS,
            DEFAULTS,
            SignalAlarmsState.fresh(leads=2),
            ("II", "V1"),
        ),
    )
    ticks = (np.arange(320) - 140.0) / 360.0
    beat = np.exp(-((ticks / 0.02) ** 2))
    for n in range(1, 10):
        sample = round(n * BEAT_S * FS)
        window = beat if alike else np.convolve(rng.normal(size=320), np.hanning(37), "same")
        windows = np.stack((window, rng.normal(size=320))).astype(np.float32)
        in_leads = InLeads(0, windows, (True, True))
        alarms.on_qrs(sample, BEAT_S, sample + 200, windows[0], usable=True, leads=in_leads)
    alarms.on_position(7 * SECOND)
    for lead in (1, 0)[:fibrillates]:
        alarms.leads.state.rhythms.append((7 * SECOND, lead, 1))
    return alarms


CHANGE = FibrillationChange(7 * SECOND, True, 5 * SECOND, 4.0, 0.5)


def raised(alarms: SignalAlarms, until_s: float) -> list[tuple[float, dict[str, str] | None]]:
    """Return when fibrillation is raised, and what the leads said."""
    alerts = [*alarms.on_fibrillation(CHANGE), *alarms.on_position(round(until_s * FS))]
    return [(a.time_s, a.leads) for a in alerts if a.kind == "ventricular_fibrillation"]


def test_fibrillation_beside_beats_waits_until_they_cease() -> None:
    """And is raised four seconds after the latest but one of them, if it goes on."""
    latest_but_one_s = 8 * BEAT_S
    [(time_s, _)] = raised(patient(), 20.0)
    assert time_s == pytest.approx(latest_but_one_s + BEATS_ON_S, abs=0.01)


def test_fibrillation_that_no_lead_contradicts_is_raised_at_once() -> None:
    """In both leads, or beside complexes that do not repeat, or a lead in motion."""
    both = {"II": "fibrillates", "V1": "fibrillates"}
    assert raised(patient(fibrillates=2), 8.0) == [(7.0, both)]
    assert [at for at, _ in raised(patient(alike=False), 8.0)] == [7.0]
    moving = patient()
    moving.leads.state.changes.append((6 * SECOND, 0, int(Reason.MOTION)))
    assert raised(moving, 8.0) == [(7.0, {"II": "motion", "V1": "fibrillates"})]


def test_fibrillation_that_ends_while_it_waits_is_never_raised() -> None:
    """The beats went on."""
    alarms = patient()
    assert alarms.on_fibrillation(CHANGE) == []
    over = FibrillationChange(8 * SECOND, False, 8 * SECOND, 0.0, 0.0)
    assert alarms.on_fibrillation(over) == []
    kinds = {alert.kind for alert in alarms.on_position(20 * SECOND)}
    assert "ventricular_fibrillation" not in kinds


def test_state_with_more_beats_than_are_compared_is_refused() -> None:
    """Nor is one of other leads taken."""
    state = SignalAlarmsState.fresh(leads=2)
    state.beats_at = list(range(BEATS + 1))
    for leads, its in (("II", "V1"), state), (("II",), SignalAlarmsState.fresh(leads=2)):
        with pytest.raises(SnapshotError):
            SignalAlarms(AlarmStateMachine("s", FS, DEFAULTS), FS, DEFAULTS, its, leads)
