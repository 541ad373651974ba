"""What a person has chosen to see, and what each key does to it. Pure.

`press` is the whole behaviour of the keyboard: it takes a `View` and a key, and returns the next
view and what is asked of the program or of the monitor. `click` is that of the mouse.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from monitor.dashboard.stream_signal import Piece
from pipeline.alarms.settings import RANGES
from pipeline.schema.public import SignalStrip
from pipeline.schema.requests import Acknowledge, Limits, Show, Silence

TILES: Final = (4, 16, 64)
"""How many patients a page may have, in as many columns as rows."""

SILENCE_S: Final = 120.0

_LONGEST_FILTER: Final = 20

LOW: Final = "heart_rate_low_bpm"
HIGH: Final = "heart_rate_high_bpm"
_LIMIT_STEP_BPM: Final = 5.0

KEYS: Final = (
    ("?", "help", "this help; any key closes it"),
    ("↑↓←→", "move", "select a patient; the mouse does, too"),
    ("Enter", "open", "open the selected patient; a second click does, too"),
    ("Esc", "back", "back: from the patient, from a frozen picture, to the worst one"),
    ("a", "ack", "acknowledge the alarms of the selected patient"),
    ("A", "ack all", "acknowledge all alarms"),
    ("s", "silence", "no sound for two minutes; again: sound on"),
    ("l", "limits", "change the limits of the heart rate of the selected patient"),
    ("f", "freeze", "freeze the signal, Space does, too; alarms and figures go on"),
    ("[ ]", "scroll", "ten seconds back (freezes) or on; ← → one, { } ten minutes"),
    ("p n", "alarms", "the patient's previous alarm (freezes), or the next one"),
    ("/", "filter", "show patients by a part of the name, or by high, medium or low"),
    ("t", "tiles", "4, 16 or 64 patients on a page, or as many as fit"),
    ("PgUp PgDn", "page", "the next page of patients"),
    ("w", "worst", "go back to the patient with the worst alarm, and follow it"),
    ("q", "end", "end; Ctrl-C does at once"),
)
"""Each key, in a word for the footer, and what it does."""


@dataclass(frozen=True, slots=True)
class Quit:
    """End the dashboard, or the run that it belongs to."""


Request = Acknowledge | Limits | Silence | Show | Quit


@dataclass(frozen=True, slots=True)
class LimitChoice:
    """The limits of the heart rate that a person chooses for one patient, before they are sent."""

    stream: str
    in_force: Mapping[str, float]
    """`LOW` and `HIGH` when the panel was opened, in bpm."""
    chosen: Mapping[str, float]
    """The same, as they are to be."""
    default: bool = False
    """Whether the limits of all patients are chosen instead."""
    name: str = LOW
    """The limit that the keys change."""


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen; a default one follows the patient with the worst alarm."""

    selected: str = ""
    """The chosen patient; empty follows the worst."""
    opened: bool = False
    """Whether the picture is of the selected patient alone."""
    page: int = 0
    tiles: int = 0
    """So many patients on a page; 0 for as many as fit."""
    words: str = ""
    """The filter."""
    typing: bool = False
    """Whether keys go into the filter."""
    frozen: Mapping[str, tuple[int, float]] | None = None
    """The (epoch, end in seconds) at which the signal of each stream was frozen; None if live."""
    back_s: float = 0.0
    """How far the frozen picture is scrolled back."""
    alarm: int = 0
    """The number of the alert whose signal is wanted from the monitor; 0 for none."""
    strip: SignalStrip | None = None
    """That signal, once it has come."""
    recorded: bool = False
    """Whether there is a recording, to scroll further back than what was received."""
    log_id: str = ""
    """Of the monitor's log, by which the recording knows its streams."""
    piece: Piece | None = None
    """What was read of the recording last."""
    limits: LimitChoice | None = None
    """The limits that are being chosen; None while their panel is closed."""
    help: bool = False
    of_run: bool = False
    """Whether to quit is to end a run: then it has to be asked for twice."""
    leaving: bool = False
    """Whether that was asked for once."""
    flash: bool = True
    """Whether alarms flash."""
    said: str = ""
    """What became of the last key; the next one clears it."""


@dataclass(frozen=True, slots=True)
class Patients:
    """What `press` must know of the patients."""

    names: tuple[str, ...] = ()
    """All that the filter lets through, as they are drawn."""
    selected: str = ""
    """The one that is selected now."""
    columns: int = 1
    """Tiles beside each other."""
    rows: int = 1
    """Tiles under each other."""
    ends: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """The (epoch, end in seconds) of each one's signal."""
    kept_s: float = 0.0
    """How far back the selected one's signal is kept from where it is frozen, or ends."""
    alarms: tuple[int, ...] = ()
    """The numbers of the selected one's alerts, the oldest first."""
    silenced: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)
    """Those in force for the selected one, by name."""


def press(view: View, key: str, patients: Patients) -> tuple[View, Request | None]:
    """Return the view after a key, and what is asked for.

    Args:
        view: before.
        key: a character as it is typed, or the name of a key, such as ``up`` or ``enter``.
        patients: what is drawn.
    """
    if view.typing:
        return _type(view, key), None
    if view.limits is not None:
        return _choose_limits(view, view.limits, key)
    if view.help:
        return replace(view, help=False), None
    leaving, view = view.leaving, replace(view, said="", leaving=False)
    if key == "q":
        if leaving or not view.of_run:
            return view, Quit()
        return replace(view, leaving=True), None
    if key in _ASKING:
        return _ask(view, key, patients)
    if view.frozen is None and key in ("[", "{"):
        view = _frozen(view, patients)
    if view.frozen is not None and key in _SCROLL_S:
        far = max(0.0, min(view.back_s - _SCROLL_S[key], patients.kept_s))
        return replace(view, back_s=far, alarm=0, strip=None), None
    if key == "p" or (key == "n" and view.frozen is not None):
        return _go_to_alarm(view, key, patients)
    if key in ("]", "}", "n"):
        return replace(view, said="the picture is live: [ or p goes back, Space freezes"), None
    if key in _MOVES or key in ("pageup", "pagedown", "home", "end"):
        return _move(view, key, patients), None
    return _change(view, key, patients), None


_ASKING: Final = ("a", "A", "s")
_SCROLL_S: Final = {
    "left": -1.0, "right": 1.0, "[": -10.0, "]": 10.0, "{": -600.0, "}": 600.0,
}  # fmt: skip
_MOVES: Final = ("up", "down", "left", "right")


def _type(view: View, key: str) -> View:
    """Return the view after a key that goes into the filter."""
    if key == "enter":
        return replace(view, typing=False, page=0)
    if key == "escape":
        return replace(view, typing=False, words="", page=0)
    if key == "backspace":
        return replace(view, words=view.words[:-1], page=0)
    if len(key) == 1 and key.isprintable() and len(view.words) < _LONGEST_FILTER:
        return replace(view, words=view.words + key, page=0)
    return replace(view, words=view.words + " ") if key == "space" else view


def _ask(view: View, key: str, patients: Patients) -> tuple[View, Request | None]:
    """Return what is asked of the monitor."""
    if key == "s":
        return view, Silence(seconds=0.0 if patients.silenced else SILENCE_S)
    if key == "A":
        return view, Acknowledge()
    if not patients.selected:
        return replace(view, said="no patient is selected"), None
    return view, Acknowledge(stream=patients.selected)


def _open_limits(view: View, patients: Patients) -> View:
    """Return the view with the panel of the limits of the selected patient."""
    if not {LOW, HIGH} <= patients.limits.keys():
        return replace(view, said="no limits of a selected patient are known here")
    now = {name: patients.limits[name] for name in (LOW, HIGH)}
    return replace(view, limits=LimitChoice(stream=patients.selected, in_force=now, chosen=now))


_LIMIT_STEPS: Final = {"left": -1, "-": -1, "right": 1, "+": 1}


def _choose_limits(view: View, limits: LimitChoice, key: str) -> tuple[View, Request | None]:
    """Return the view after a key in the panel of the limits, and what `Enter` asks for."""
    if key == "escape":
        return replace(view, limits=None), None
    if key == "enter":
        request = _limits_request(limits)
        if request is None:
            return replace(view, limits=None, said="no limit was changed"), None
        return view, request  # the panel stays until the monitor has taken it
    if key in ("up", "down"):
        limits = replace(limits, name=LOW if key == "up" else HIGH)
    elif key == "d":
        limits = replace(limits, chosen=limits.in_force, default=True)
    elif key in _LIMIT_STEPS:
        least, most = RANGES[limits.name]
        bpm = limits.chosen[limits.name] + _LIMIT_STEPS[key] * _LIMIT_STEP_BPM
        chosen = {**limits.chosen, limits.name: max(least, min(bpm, most))}
        if chosen[LOW] < chosen[HIGH]:
            limits = replace(limits, chosen=chosen, default=False)
    return replace(view, limits=limits, said=""), None


def _limits_request(limits: LimitChoice) -> Limits | None:
    """Return the request for what was chosen: only what differs becomes the patient's own."""
    if limits.default:
        return Limits(stream=limits.stream, default=True)
    changed = {name: bpm for name, bpm in limits.chosen.items() if bpm != limits.in_force[name]}
    return Limits(stream=limits.stream, limits=changed) if changed else None


def _go_to_alarm(view: View, key: str, patients: Patients) -> tuple[View, Request | None]:
    """Return the view that waits for the signal of another alarm."""
    if key == "p":
        wanted = max((n for n in patients.alarms if not view.alarm or n < view.alarm), default=0)
    else:
        wanted = min((n for n in patients.alarms if view.alarm and n > view.alarm), default=0)
    if not wanted:
        return replace(view, said="no further alarm of this patient is known here"), None
    view = view if view.frozen is not None else _frozen(view, patients)
    return replace(view, alarm=wanted, strip=None), Show(seq=wanted)


def _move(view: View, key: str, patients: Patients) -> View:
    """Return the view with another patient selected, on the page that has it."""
    names = patients.names
    if not names:
        return view
    at = names.index(patients.selected) if patients.selected in names else 0
    each = patients.columns * patients.rows
    across = 1 if view.opened else patients.columns
    steps = {"up": -across, "down": across, "left": -1, "right": 1}
    steps |= {"pageup": -each, "pagedown": each, "home": -at, "end": len(names)}
    to = at + steps[key]
    if key in ("up", "down") and not 0 <= to < len(names):
        to = at
    to = max(0, min(to, len(names) - 1))
    return replace(view, selected=names[to], page=to // each, alarm=0, strip=None)


def _change(view: View, key: str, patients: Patients) -> View:
    """Return the view after a key that changes what is drawn, or after one without a meaning."""
    if key == "?":
        return replace(view, help=True)
    if key == "/":
        return replace(view, typing=True)
    if key == "l":
        return _open_limits(view, patients)
    if key == "enter" and patients.selected:
        return replace(view, opened=True, selected=patients.selected)
    if key in ("f", "space", " "):
        return _frozen(view, patients) if view.frozen is None else _live(view)
    if key == "t":
        sizes = (0, *TILES)
        after = sizes[(sizes.index(view.tiles) + 1) % len(sizes)]
        return replace(view, tiles=after, page=0, opened=False)
    if key == "w":
        return replace(view, selected="", page=0, alarm=0, strip=None)
    return _back(view) if key == "escape" else view


def _frozen(view: View, patients: Patients) -> View:
    return replace(view, frozen=dict(patients.ends), back_s=0.0, alarm=0, strip=None)


def _live(view: View) -> View:
    return replace(view, frozen=None, back_s=0.0, alarm=0, strip=None, piece=None)


def _back(view: View) -> View:
    """Return the view before the last thing that was opened."""
    if view.frozen is not None:
        return _live(view)
    if view.opened:
        return replace(view, opened=False)
    if view.words:
        return replace(view, words="", page=0)
    return replace(view, selected="", page=0)


def click(view: View, name: str, patients: Patients) -> View:
    """Return the view after a click on a patient: it is selected, or opened if it was.

    While the help or the panel of the limits is open, a click closes that and does nothing else.
    """
    if view.help or view.limits is not None:
        return replace(view, help=False, limits=None)
    if name not in patients.names:
        return view
    if name == view.selected:
        return replace(view, opened=True)
    return replace(view, selected=name, said="", alarm=0, strip=None)
