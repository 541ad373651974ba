"""Streaming ECG monitor: the command line, the dashboard, and three lines of Python.

::

    night = monitor.analyze(signal_mv, fs=250)  # numpy [n] or [n, leads], a path, a wfdb.Record
    night.beats, night.alarms, night.rhythms, night.summary
    for event in monitor.stream(chunks, fs=250): ...

The names below are imported when they are first used: importing this package loads nothing heavy.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from monitor.api.analysis import Analysis as Analysis
    from monitor.api.analysis import analyze as analyze
    from monitor.api.beat_table import BeatTable as BeatTable
    from monitor.api.events import Alarm as Alarm
    from monitor.api.events import Beat as Beat
    from monitor.api.events import Rhythm as Rhythm
    from monitor.api.streaming import EventStream as EventStream
    from monitor.api.streaming import stream as stream
    from monitor.api.summary import Summary as Summary

    __version__: str

_PLACES: Final = {
    "Alarm": "events",
    "Analysis": "analysis",
    "Beat": "events",
    "BeatTable": "beat_table",
    "EventStream": "streaming",
    "Rhythm": "events",
    "Summary": "summary",
    "analyze": "analysis",
    "stream": "streaming",
}
"""The module of `monitor.api` that each name is from."""

__all__ = [
    "Alarm",
    "Analysis",
    "Beat",
    "BeatTable",
    "EventStream",
    "Rhythm",
    "Summary",
    "analyze",
    "stream",
]


def __getattr__(name: str) -> object:
    """Return what `monitor.api` offers under a name, imported at its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("ecg-monitor")
        except PackageNotFoundError:  # a checkout that is not installed
            return "not installed"
    if name not in _PLACES:
        raise AttributeError(f"module 'monitor' has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"monitor.api.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES, "__version__"])
