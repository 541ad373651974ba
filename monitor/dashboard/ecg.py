"""The ECG on the dashboard: the leads of a stream under each other on one time axis.

The lead in use, in which beats are compared with the patient's usual ones, is marked. Where there
is no room for all leads, it is drawn and the others are named. Each lead has its own scale. Pure:
the time is an argument.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.text import Text

from monitor.dashboard.layout import (
    ANOMALY,
    FROZEN,
    MUTED,
    OTHER_TRACE,
    STALE,
    TRACE,
    Block,
    beside,
    box,
    centred,
    clock,
    fit,
    fit_block,
    runs,
)
from monitor.dashboard.panels import stale_for
from monitor.dashboard.state import DashboardState, StreamState
from monitor.dashboard.stream_signal import Scale, StreamSignal
from monitor.dashboard.trace import SPEED_MM_S, Axis, limits_of, on_paper, trace
from monitor.text import number, safe_text
from pipeline.schema.public import BeatNote

WAITING: Final = "waiting for the first beat"

_BEAT_S: Final = (0.1, 0.16)
"""The part of the trace before and after R that is coloured for an anomalous beat."""

_LATE_S: Final = 10.0
"""No beat comes so much later than one behind it."""

_LEAST_ROWS: Final = 4
"""A trace that has others beside it has at least this number of lines."""

_LEAST_PAPER_ROWS: Final = 6
"""A trace of fewer lines is drawn as high as it can be, without paper."""

_GUTTERS: Final = ((14, 76), (13, 36))
"""Cells for the names of leads, and the least width of a panel's inside that has them."""


def waiting_panel(dashboard: DashboardState, now: float, width: int, height: int) -> Block:
    """Return the strip's panel before there is any stream."""
    line = Text(WAITING, "bold")
    since = now - (
        dashboard.received_at if dashboard.received_at is not None else dashboard.started
    )
    block = centred(line, width - 4, height - 2)
    if since > 1:
        text = Text(f"nothing received for {number(since)} s", MUTED)
        block.append(text)
        text.pad_left(max((width - 4 - text.cell_len) // 2, 0))
    return box(Text("ECG", MUTED), Text(), block, width, height)


class Moment(NamedTuple):
    """What a frozen picture shows of a stream."""

    signal: StreamSignal
    end_s: float
    """Its end, in seconds of the signal."""
    words: str
    """What is said of it."""


class _Arrangement(NamedTuple):
    """What of the signal is drawn in a panel."""

    gutter: int
    """Cells left of the traces, for the names of several leads; 0 where they are not written."""
    rows: dict[int, int]
    """Lines of each trace that is drawn, by the number of its lead, from above."""
    others: list[int]
    """The leads that are named instead; empty as well where there is no line for them."""


def _arrange(signal: StreamSignal, width: int, height: int) -> _Arrangement:
    """Divide the cells between marks and time axis among the leads; the one in use comes first."""
    leads = max(len(signal.leads), 1)
    gutter = next((cells for cells, least in _GUTTERS if leads > 1 and width >= least), 0)
    if leads == 1 or not gutter or height < _LEAST_ROWS:
        return _Arrangement(gutter, {signal.in_use: height}, [])
    if leads * _LEAST_ROWS > height:
        height -= 1  # for the names of the others
    n = min(max(height // _LEAST_ROWS, 1), leads)
    others = [lead for lead in range(leads) if lead != signal.in_use]
    drawn = sorted([signal.in_use, *others[: n - 1]])
    each, more = divmod(height, n)
    rows = {lead: each + (i < more) for i, lead in enumerate(drawn)}
    return _Arrangement(gutter, rows, others[n - 1 :])


def strip_panel(
    stream: StreamState, now: float, width: int, height: int, frozen: Moment | None = None
) -> Block:
    """Return the ECG of every lead that has room, with beats, gaps and time axis.

    It is a sweep, or the ``frozen`` page.
    """
    signal = stream.signal if frozen is None else frozen.signal
    inner = width - 4
    stale = stream.is_stale(now)
    if not signal.end:
        title = _title(stream, signal, 0.0, None)
        words = Text(WAITING, "bold") if frozen is None else Text(frozen.words, FROZEN)
        return box(title, Text(), centred(words, inner, height - 2), width, height)
    plan = _arrange(signal, inner, max(height - 4, 1))
    traces = inner - plan.gutter
    end_s = signal.newest_s if frozen is None else frozen.end_s
    axis = Axis(max(traces, 1), end_s, sweep=frozen is None)
    margin = Text(" " * plan.gutter)
    block, scales = [margin + _beat_marks(stream, signal, axis)], []
    for lead, rows in plan.rows.items():
        used = lead == signal.in_use
        base = MUTED if stale and frozen is None else TRACE if used else OTHER_TRACE
        scales.append(_scale_of(signal, lead, axis, rows))
        styles = _styles(stream, signal, axis, base)
        lines = trace(signal, lead, axis, rows, scales[-1], styles)
        if plan.gutter:
            label = _lead_label(stream, signal, lead, scales[-1], plan.gutter, stale=stale)
            lines = beside(fit_block(label, plan.gutter, rows), lines)
        block += lines
    block.append(margin + _time_axis(axis))
    if plan.others:
        block.append(_names_of(stream, signal, plan.others))
    right = Text("" if plan.gutter else _scale_words(scales[-1], " mV"), MUTED)
    if frozen is not None:
        right = Text(f" {frozen.words} ", FROZEN)
    elif stale:
        right = Text(f" DATA STALE {stale_for(stream, now)} ", STALE)
    elif not stream.beats:
        right = Text(WAITING, "bold")
    return box(_title(stream, signal, axis.seconds, scales[0]), right, block, width, height)


def _title(stream: StreamState, signal: StreamSignal, seconds: float, scale: Scale | None) -> Text:
    """Return name, leads and rate of the stream, and the speed of the paper."""
    status = stream.status
    title = Text.assemble((safe_text(stream.name), "bold"))
    lead = status.lead if status is not None else ""
    of_several = ""
    if signal.leads:
        lead, of_several = signal.leads[signal.in_use], f" of {len(signal.leads)}"
    if lead:
        title.append(f"  lead {safe_text(lead, 16)}{of_several}", MUTED)
    if status is not None and scale is not None:
        title.append(f"  {number(status.fs_hz, 'g')} Hz", MUTED)
    if scale is not None and scale.gain:
        title.append(f"  {SPEED_MM_S} mm/s", MUTED)
    elif scale is not None:
        title.append(f"  {seconds:g} s", MUTED)
    return title


def _scale_of(signal: StreamSignal, lead: int, axis: Axis, rows: int) -> Scale:
    """Return the scale of a trace, by what of it is drawn: that of paper where it has room."""
    end_s = (axis.first + axis.width) / axis.per_second
    # Chosen once a second: it rarely changes.
    chosen_for = (int(end_s), axis.width, axis.sweep, rows, signal.epoch)
    known = signal.scales.get(lead)
    if known is not None and known[0] == chosen_for:
        return known[1]
    end = math.ceil(end_s * signal.fs_hz)
    samples = signal.between(end - math.ceil(axis.seconds * signal.fs_hz), end)[lead]
    scale = limits_of(samples, axis.seconds)
    if rows >= _LEAST_PAPER_ROWS:
        scale = on_paper(scale, rows, axis.per_second)
    signal.scales[lead] = chosen_for, scale
    return scale


def _scale_words(scale: Scale, unit: str = "") -> str:
    if scale.gain:
        return f"{scale.gain:g} mm/mV"
    return f"{scale.bottom:g} … {scale.top:g}{unit}"


def small_trace(
    stream: StreamState, now: float, width: int, rows: int, frozen: Moment | None = None
) -> Block:
    """Return the lead in use alone in ``rows`` lines, for a tile."""
    signal = stream.signal if frozen is None else frozen.signal
    if not signal.end:
        return fit_block([], width, rows)
    axis = Axis(width, signal.newest_s if frozen is None else frozen.end_s, sweep=frozen is None)
    base = MUTED if stream.is_stale(now) else TRACE
    styles = _styles(stream, signal, axis, base)
    scale = _scale_of(signal, signal.in_use, axis, rows)
    return trace(signal, signal.in_use, axis, rows, scale, styles)


def _lead_label(
    stream: StreamState, signal: StreamSignal, lead: int, scale: Scale, width: int, *, stale: bool
) -> Block:
    """Return the name of one of several leads, a mark if it is in use, its state and its scale."""
    used = lead == signal.in_use
    mark, name = "▸ " if used else "  ", safe_text(signal.leads[lead], 16)
    words = _scale_words(scale) if scale.gain else f"{scale.bottom:g}…{scale.top:g}"
    indent = "  " if len(words) + 2 < width else " "
    unit = " mV" if len(words) + 6 <= width and not scale.gain else ""
    # The last cell separates the label from the trace.
    return [
        fit(Text(mark + name, "bold" if used and not stale else MUTED), width - 1),
        fit(Text(f"  {_state_of(stream, signal.leads[lead])}", MUTED), width - 1),
        fit(Text(indent + words + unit, MUTED), width - 1),
    ]


def _state_of(stream: StreamState, lead: str) -> str:
    """Return the state of one of several leads in a word; empty where it is not known."""
    states = stream.status.lead_states if stream.status is not None else {}
    return safe_text(states.get(lead, ""), 32)


def _names_of(stream: StreamState, signal: StreamSignal, leads: list[int]) -> Text:
    """Return the names of leads that are not drawn, by their states, the rarest state first."""
    by_state: dict[str, list[str]] = {}
    for lead in leads:
        name = signal.leads[lead]
        by_state.setdefault(_state_of(stream, name), []).append(safe_text(name, 16))
    line = Text("also:", MUTED)
    for state, names in sorted(by_state.items(), key=lambda item: len(item[1])):
        line.append("  " + " ".join(names)).append(f" {state}".rstrip(), MUTED)
    return line


def _beats_on(
    stream: StreamState, signal: StreamSignal, axis: Axis
) -> Iterator[tuple[int, BeatNote]]:
    """Yield the beats that colour or mark a cell, each with its cell, the newest first."""
    before, after = (math.ceil(s * axis.per_second) for s in _BEAT_S)
    long_ago = -after - _LATE_S * axis.per_second
    for beat in reversed(stream.beats.values()):
        if beat.epoch == signal.epoch:
            at = axis.cell(beat.time_s)
            if at < long_ago:
                return
            if -after <= at < axis.width + before:
                yield at, beat


def _styles(stream: StreamState, signal: StreamSignal, axis: Axis, base: str) -> list[str]:
    """Return the style of each cell of a trace, from the oldest."""
    styles = [base] * axis.width
    before, after = (math.ceil(s * axis.per_second) for s in _BEAT_S)
    for at, beat in _beats_on(stream, signal, axis):
        if beat.anomalous:
            for i in range(max(at - before, 0), min(at + after + 1, axis.width)):
                styles[i] = ANOMALY
    return styles


def _beat_marks(stream: StreamState, signal: StreamSignal, axis: Axis) -> Text:
    """Return the line of marks above the traces."""
    width = axis.width
    marks, styles = [" "] * width, [MUTED] * width
    for at, beat in _beats_on(stream, signal, axis):
        mark, style = ("•", TRACE) if beat.analysable else ("×", MUTED)
        if beat.anomalous:
            mark, style = "▼", ANOMALY
        if 0 <= at < width:
            marks[at], styles[at] = mark, style
            label = safe_text(beat.beat_class or "", 1)
            if beat.anomalous and label and at + 1 < width:
                marks[at + 1], styles[at + 1] = label, style
    return runs("".join(axis.placed(marks, " ")), axis.placed(styles, MUTED))


def _time_axis(axis: Axis) -> Text:
    """Return the seconds of the signal's own time, each at its cell."""
    cells = [" "] * axis.width
    second = math.ceil(max(axis.first, 0) / axis.per_second - 1e-6)
    while (at := axis.cell(second)) < axis.width:
        label = f"╵{clock(second)}"
        room = axis.per_second if axis.seconds > 1 else axis.width
        if at >= 0 and at + len(label) <= axis.width and len(label) <= room:
            cells[at : at + len(label)] = label
        second += 1
    return Text("".join(axis.placed(cells, " ")), MUTED)
