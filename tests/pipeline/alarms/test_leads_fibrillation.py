"""A heart fibrillates in every lead: not in one while another shows that it beats."""

import numpy as np
import pytest

from pipeline.alarms.leads.fibrillation import BEATS_ON_S, RESUMES_S
from pipeline.alarms.organisation import BEATS
from pipeline.alarms.settings import DEFAULTS
from pipeline.alarms.signal_rules import SignalAlarms
from pipeline.alarms.signal_state import SignalAlarmsState
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.errors import SnapshotError
from pipeline.schema.public import Alert
from pipeline.scoring.beat import InLeads
from pipeline.signal.quality import Reason
from pipeline.signal.segment import FibrillationChange

FS = 360.0
BEAT_S, FAST_S = 0.7, 0.4
LATEST_BUT_ONE_S = 8 * BEAT_S
SECOND = 360
BEGINS = FibrillationChange(7 * SECOND, True, 5 * SECOND, 4.0, 0.5, lead=1)
BOTH = {"II": "fibrillates", "V1": "fibrillates"}


def patient(*, alike: bool = True, spacing_s: float = BEAT_S, usual: int = 0) -> SignalAlarms:
    """Return the rules of two leads after nine beats, of which the first shows so many as usual."""
    rng, state = np.random.default_rng(1), SignalAlarmsState.fresh(leads=2)
    machine = AlarmStateMachine("s", FS, DEFAULTS)
    alarms = SignalAlarms(machine, FS, DEFAULTS, state, ("II", "V1"))
    ticks = (np.arange(320) - 140.0) / 360.0
    for n in range(1, 10):
        sample = round((LATEST_BUT_ONE_S + (n - 8) * spacing_s) * FS)
        window = np.exp(-((ticks / 0.02) ** 2)) if alike else rng.normal(size=320)
        windows = np.stack((window, rng.normal(size=320))).astype(np.float32)
        in_leads = InLeads(0, windows, (True, True))
        alarms.on_qrs(sample, spacing_s, sample + 200, windows[0], usable=True, leads=in_leads)
        if n > 9 - usual:
            shows_usual(alarms, 0, sample)
    alarms.on_position(7 * SECOND)
    return alarms


def shows_usual(alarms: SignalAlarms, lead: int, sample: int) -> None:
    """Let a lead show a complex like its usual ones."""
    row = [[lead, sample, sample + 200]]
    alarms.leads.state.usual = np.concatenate((alarms.leads.state.usual, row))


def fibrillate(alarms: SignalAlarms, *changes: FibrillationChange) -> list[Alert]:
    """Let leads begin or cease to fibrillate; return the alerts until then."""
    alerts = []
    for change in changes:
        alerts += alarms.on_position(change.sample)
        alarms.leads.state.rhythms.append((change.sample, change.lead, int(change.active)))
        alerts += alarms.on_fibrillation(change)
    return alerts


def raised(alarms: SignalAlarms, *more: FibrillationChange) -> list[float]:
    """Return when fibrillation of the second lead, and of others, is raised, in seconds."""
    alerts = [*fibrillate(alarms, BEGINS, *more), *alarms.on_position(20 * SECOND)]
    ours = [a for a in alerts if a.kind == "ventricular_fibrillation" and a.state == "on"]
    return [a.time_s for a in ours]


def test_fibrillation_beside_beats_that_repeat_waits_until_they_cease() -> None:
    """Of any shape. It is raised four seconds after the latest but one of them, if it goes on."""
    [time_s] = raised(patient())
    assert 0.0 <= time_s - (LATEST_BUT_ONE_S + BEATS_ON_S) <= 0.5


def test_usual_beats_contradict_at_any_rate_and_in_noise() -> None:
    """The patient's own beats at 150 a minute; so fast, repeated complexes do not suffice."""
    assert raised(patient(spacing_s=FAST_S)) == [7.0]
    for reason in (Reason.OK, Reason.OVERLAID):
        alarms = patient(spacing_s=FAST_S, usual=3)
        alarms.leads.state.changes.append((6 * SECOND, 0, int(reason)))
        [time_s] = raised(alarms)
        assert 0.0 <= time_s - (LATEST_BUT_ONE_S + BEATS_ON_S) <= 0.5
    assert raised(patient(spacing_s=FAST_S, usual=1)) == [7.0]


def test_fibrillation_that_no_lead_contradicts_is_raised_at_once() -> None:
    """In both leads, or beside complexes that do not repeat, or a lead in motion."""
    alarms = patient()
    [alert] = [
        *fibrillate(alarms, BEGINS, BEGINS._replace(lead=0)),
        *alarms.on_position(8 * SECOND),
    ]
    assert (alert.time_s, alert.leads) == (7.0, BOTH)
    assert raised(patient(alike=False)) == [7.0]
    moving = patient()
    moving.leads.state.changes.append((6 * SECOND, 0, int(Reason.MOTION)))
    assert raised(moving) == [7.0]


def test_fibrillation_that_ends_while_it_waits_is_never_raised() -> None:
    """The beats went on."""
    over = FibrillationChange(8 * SECOND, False, 8 * SECOND, 0.0, 0.0, lead=1)
    assert raised(patient(), over) == []


@pytest.mark.parametrize("lead", [0, 1])
def test_beats_of_a_lead_end_what_another_goes_on_showing(lead: int) -> None:
    """Fibrillation that began in both is over when one has shown usual beats for a while."""
    alarms = patient(alike=False)
    fibrillate(alarms, BEGINS, BEGINS._replace(lead=0))
    over = FibrillationChange(12 * SECOND, False, 12 * SECOND, 0.0, 0.0, lead=lead)
    assert fibrillate(alarms, over)[0].state == "on"
    for n in range(1, 9):
        shows_usual(alarms, lead, (12 + n) * SECOND)

    [ended] = alarms.on_position(20 * SECOND)

    second_known_s = 14 + 200 / FS
    assert ended.state == "latched"
    assert 0.0 <= ended.time_s - (second_known_s + RESUMES_S) <= 0.5


def test_rates_go_on_where_only_one_lead_fibrillates() -> None:
    """What is no fibrillation of the patient changes nothing else that is known of the rhythm."""
    alarms = patient()
    known = list(alarms.state.rates.intervals)
    assert known
    fibrillate(alarms, BEGINS)
    alarms.on_position(8 * SECOND)
    assert list(alarms.state.rates.intervals) == known
    assert alarms.state.fibrillation is None


def test_state_of_other_leads_or_with_more_beats_than_are_compared_is_refused() -> None:
    """A snapshot that nobody wrote would be compared past its end."""
    state = SignalAlarmsState.fresh(leads=2)
    state.leads_fibrillation.beats_at = list(range(BEATS + 1))
    for leads, its in (("II", "V1"), state), (("II",), SignalAlarmsState.fresh(leads=2)):
        with pytest.raises(SnapshotError):
            SignalAlarms(AlarmStateMachine("s", FS, DEFAULTS), FS, DEFAULTS, its, leads)
