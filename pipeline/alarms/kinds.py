"""The kinds of alarms: what each is about, how urgent it is, and how it ends.

Priorities by the matrix of IEC 60601-1-8 as the literature quotes it: death or harm that cannot be
undone, at once: high; what can be undone, or comes later: medium; the rest: low. No conformity is
claimed. Pure: no state.
"""

from typing import Final, NamedTuple

PHYSIOLOGICAL: Final = "physiological"
TECHNICAL: Final = "technical"

HIGH: Final = "high"
MEDIUM: Final = "medium"
LOW: Final = "low"


class Kind(NamedTuple):
    """One alarm; the table `KINDS` holds them by name, the more urgent first."""

    name: str
    category: str
    priority: str
    text: str
    """What a person reads."""
    yields_to: tuple[str, ...] = ()
    """It is not raised while one of these is present, and ends when one of these begins."""
    hold_s: float = 0.0
    """The alarm stays active for this long after its condition: what comes back within this time is
    the same alarm, counted. For conditions that are over in a moment, and would be an alarm each
    time."""
    lethal: bool = False
    """Latches unless the settings say otherwise: it stays until somebody acknowledges it."""


EPISODE_S: Final = 10.0
"""Without another anomalous beat for this long an episode of them has ended: the 10 s that a strip
shows, and within which monitors have to announce what happened (ANSI/AAMI EC13)."""

STEADY_S: Final = 10.0
"""A process that ran for this long runs steadily; one that dies earlier dies again."""

_STOPPED: Final = ("asystole", "ventricular_fibrillation")

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "ventricular_fibrillation",
            PHYSIOLOGICAL,
            HIGH,
            "ventricular fibrillation",
            lethal=True,
        ),
        Kind(
            "asystole",
            PHYSIOLOGICAL,
            HIGH,
            "asystole",
            yields_to=("ventricular_fibrillation",),
            lethal=True,
        ),
        Kind(
            "ventricular_tachycardia",
            PHYSIOLOGICAL,
            HIGH,
            "ventricular tachycardia",
            lethal=True,
        ),
        Kind(
            "extreme_tachycardia",
            PHYSIOLOGICAL,
            HIGH,
            "extreme tachycardia",
            yields_to=_STOPPED,
            lethal=True,
        ),
        Kind(
            "extreme_bradycardia",
            PHYSIOLOGICAL,
            HIGH,
            "extreme bradycardia",
            yields_to=_STOPPED,
            lethal=True,
        ),
        Kind(
            "ventricular_run",
            PHYSIOLOGICAL,
            MEDIUM,
            "ventricular run",
            yields_to=("ventricular_tachycardia",),
            hold_s=EPISODE_S,
        ),
        Kind(
            "pause",
            PHYSIOLOGICAL,
            MEDIUM,
            "pause",
            yields_to=(*_STOPPED, "extreme_bradycardia"),
            hold_s=EPISODE_S,
        ),
        Kind(
            "atrial_fibrillation",
            PHYSIOLOGICAL,
            MEDIUM,
            "atrial fibrillation",
            yields_to=_STOPPED,
        ),
        Kind(
            "heart_rate_high",
            PHYSIOLOGICAL,
            MEDIUM,
            "heart rate high",
            yields_to=(*_STOPPED, "extreme_tachycardia"),
        ),
        Kind(
            "heart_rate_low",
            PHYSIOLOGICAL,
            MEDIUM,
            "heart rate low",
            yields_to=(*_STOPPED, "extreme_bradycardia"),
        ),
        Kind("couplet", PHYSIOLOGICAL, LOW, "couplet", hold_s=EPISODE_S),
        Kind("bigeminy", PHYSIOLOGICAL, LOW, "bigeminy", hold_s=EPISODE_S),
        Kind(
            "anomalous_beat",
            PHYSIOLOGICAL,
            LOW,
            "anomalous beat",
            hold_s=EPISODE_S,
        ),
        Kind("no_scorer", TECHNICAL, MEDIUM, "no scorer answers"),
        Kind("log_not_writable", TECHNICAL, MEDIUM, "not recorded"),
        Kind("no_data", TECHNICAL, MEDIUM, "no data from the source"),
        Kind("wrong_rate", TECHNICAL, MEDIUM, "wrong sampling rate"),
        Kind("unreadable_lines", TECHNICAL, MEDIUM, "lines that cannot be read"),
        Kind("unmonitored", TECHNICAL, MEDIUM, "not analysable for long"),
        Kind("rate_changed", TECHNICAL, LOW, "sampling rate changed"),
        Kind("leads_changed", TECHNICAL, LOW, "leads changed"),
        Kind("limits_changed", TECHNICAL, LOW, "limits changed"),
        Kind("lead_off", TECHNICAL, LOW, "electrode off"),
        Kind("not_analysable", TECHNICAL, LOW, "not analysable"),
        Kind("clock_stepped", TECHNICAL, LOW, "clock of the source stepped"),
        Kind("state_not_saved", TECHNICAL, LOW, "state of a stream not saved"),
        Kind("process_died", TECHNICAL, LOW, "a process died", hold_s=STEADY_S),
    )
}

LETHAL: Final = frozenset(name for name, kind in KINDS.items() if kind.lethal)

BEAT_KINDS: Final = frozenset(
    {"ventricular_tachycardia", "ventricular_run", "couplet", "bigeminy", "anomalous_beat"}
)
"""These need the scores of beats; all others do not."""

SIGNAL_KINDS: Final = frozenset(KINDS) - BEAT_KINDS

NEVER_OFF: Final = frozenset({"asystole", "ventricular_fibrillation"})
"""These cannot be switched off."""
