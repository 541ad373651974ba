"""The ECG on the dashboard: the leads of a stream under each other on one time axis.

The lead in use, in which beats are compared with the patient's usual ones, is marked. Where there
is no room for all leads, it is drawn and the others are named. Each lead has its own scale. Pure:
the time is an argument.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from monitor.dashboard.braille import curve, envelope
from monitor.dashboard.layout import (
    ANOMALY,
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
from monitor.dashboard.stream_signal import SIGNAL_SECONDS, StreamSignal
from monitor.text import number, safe_text

WAITING: Final = "waiting for the first beat"

_SCALE_STEPS_MV: Final = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5)
"""The limits of the strip are chosen from these, so that they rarely change."""

_BEAT_S: Final = (0.1, 0.16)
"""The part of the trace before and after R that is coloured for an anomalous beat."""

_LEAST_ROWS: Final = 4
"""A trace that has others beside it has at least so many lines."""

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


def _limits(samples: NDArray[np.float32]) -> tuple[float, float]:
    """Return bottom and top of the strip in mV, rounded outwards to a step of the scale.

    A lone spike is cut off, because an artefact would otherwise shrink the ECG to a line: no limit
    exceeds 2.5 times the median of the extremes of the individual seconds.
    """

    def limit(x: NDArray[np.float32]) -> float:
        seconds = np.array_split(x, SIGNAL_SECONDS)
        peaks = np.array([np.fmax.reduce(s, initial=0.0) for s in seconds if s.size])
        peaks = peaks[peaks > 0]
        if not peaks.size:
            return _SCALE_STEPS_MV[0]
        wanted = min(peaks.max(), 2.5 * np.median(peaks))
        scale = 10.0 ** max(math.floor(math.log10(wanted)), 0)
        steps = [scale * step for step in _SCALE_STEPS_MV] + [scale * 10]
        return next(step for step in steps if step >= wanted)

    return -limit(-samples), limit(samples)


class _Axis:
    """Cells of the strip against time: cell 0 is ``first`` cells after time 0.

    Cells are anchored at time 0, so a scrolling trace moves by whole cells and a shape keeps the
    dots with which it was first drawn.
    """

    def __init__(self, ring: StreamSignal, width: int) -> None:
        self.per_second = max(20 if width >= 90 else 16, math.ceil(width / SIGNAL_SECONDS))
        self.first = int(ring.end / ring.fs_hz * self.per_second) - width

    def cell(self, time_s: float) -> int:
        return int(time_s * self.per_second) - self.first


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


def strip_panel(stream: StreamState, now: float, width: int, height: int) -> Block:
    """Return the scrolling ECG of every lead that has room, with beats, gaps and time axis."""
    signal, status = stream.signal, stream.status
    inner = width - 4
    title = Text.assemble((safe_text(stream.name), "bold"))
    lead = status.lead if status is not None else ""
    of_several = ""
    if signal.leads:
        lead, of_several = signal.leads[signal.in_use], f" of {len(signal.leads)}"
    if lead:
        title.append(f"  lead {safe_text(lead, 16)}{of_several}", MUTED)
    if not signal.samples.size:
        return box(title, Text(), centred(Text(WAITING, "bold"), inner, height - 2), width, height)
    if status is not None:
        title.append(f"  {number(status.fs_hz, 'g')} Hz", MUTED)
    stale = stream.is_stale(now)
    plan = _arrange(signal, inner, max(height - 4, 1))
    traces = inner - plan.gutter
    axis = _Axis(signal, traces)
    beats, anomalous = _beat_marks(stream, axis, traces)
    margin = Text(" " * plan.gutter)
    block, samples = [margin + beats], signal.samples
    for lead_number, rows in plan.rows.items():
        used = lead_number == signal.in_use
        base = MUTED if stale else TRACE if used else OTHER_TRACE
        styles = [ANOMALY if one else base for one in anomalous]
        limits = _limits(samples[lead_number])
        lines = _trace(signal, samples[lead_number], axis, (traces, rows), limits, styles)
        if plan.gutter:
            label = _lead_label(stream, lead_number, limits, plan.gutter, stale=stale)
            lines = beside(fit_block(label, plan.gutter, rows), lines)
        block += lines
    block.append(margin + _time_axis(axis, traces))
    if plan.others:
        block.append(_names_of(stream, plan.others))
    bottom, top = limits
    right = Text("" if plan.gutter else f"{bottom:g} … {top:g} mV", MUTED)
    if stale:
        right = Text(f" DATA STALE {stale_for(stream, now)} ", STALE)
    elif not stream.beats:
        right = Text(WAITING, "bold")
    return box(title, right, block, width, height)


def _trace(
    signal: StreamSignal,
    samples: NDArray[np.float32],
    axis: "_Axis",
    size: tuple[int, int],
    limits: tuple[float, float],
    styles: list[str],
) -> Block:
    """Return the curve of one lead's samples in ``size`` (columns, rows), with its gaps."""
    width, rows = size
    bottom, top = limits
    per_column = signal.fs_hz / (2 * axis.per_second)
    start = 2 * axis.first * per_column - (signal.end - samples.size)
    low, high = envelope(samples, start, per_column, 2 * width)
    received = np.isfinite(low[::2]) | np.isfinite(low[1::2])
    begin = axis.cell(signal.begin / signal.fs_hz)
    gaps = [i >= begin and not known for i, known in enumerate(received.tolist())]
    zero_at = int(top / (top - bottom) * rows)
    block = []
    for i, line in enumerate(curve(low, high, rows, bottom, top)):
        chars, colours = list(line), styles
        if i == zero_at and any(gaps):
            colours = [MUTED if gap else style for gap, style in zip(gaps, styles, strict=True)]
            _write_gaps(chars, gaps)
        block.append(runs("".join(chars), colours))
    return block


def _lead_label(
    stream: StreamState, lead: int, limits: tuple[float, float], width: int, *, stale: bool
) -> Block:
    """Return the name of one of several leads, a mark if it is in use, its state and its scale."""
    used = lead == stream.signal.in_use
    mark, name = "▸ " if used else "  ", safe_text(stream.signal.leads[lead], 16)
    scale = f"{limits[0]:g}…{limits[1]:g}"
    indent = "  " if len(scale) + 2 < width else " "
    unit = " mV" if len(scale) + 6 <= width else ""
    # The last cell separates the label from the trace.
    return [
        fit(Text(mark + name, "bold" if used and not stale else MUTED), width - 1),
        fit(Text(f"  {_state_of(stream, lead)}", MUTED), width - 1),
        fit(Text(indent + scale + unit, MUTED), width - 1),
    ]


def _state_of(stream: StreamState, lead: int) -> str:
    """Return the state of one of several leads in a word; empty where it is not known."""
    states = stream.status.lead_states if stream.status is not None else {}
    return safe_text(states.get(stream.signal.leads[lead], ""), 32)


def _names_of(stream: StreamState, leads: list[int]) -> Text:
    """Return the names of leads that are not drawn, by their states, the rarest state first."""
    by_state: dict[str, list[str]] = {}
    for lead in leads:
        name = safe_text(stream.signal.leads[lead], 16)
        by_state.setdefault(_state_of(stream, lead), []).append(name)
    line = Text("also:", MUTED)
    for state, names in sorted(by_state.items(), key=lambda item: len(item[1])):
        line.append("  " + " ".join(names)).append(f" {state}".rstrip(), MUTED)
    return line


def _beat_marks(stream: StreamState, axis: "_Axis", width: int) -> tuple[Text, list[bool]]:
    """Return the line of marks above the traces, and which cells an anomalous beat is in."""
    marks, mark_styles = [" "] * width, [MUTED] * width
    anomalous = [False] * width
    before, after = (math.ceil(s * axis.per_second) for s in _BEAT_S)
    for beat in stream.beats.values():
        at = axis.cell(beat.time_s)
        if beat.epoch != stream.signal.epoch or not -after <= at < width + before:
            continue
        mark, style = ("•", TRACE) if beat.analysable else ("×", MUTED)
        if beat.anomalous:
            mark, style = "▼", ANOMALY
            for i in range(max(at - before, 0), min(at + after + 1, width)):
                anomalous[i] = True
        if 0 <= at < width:
            marks[at], mark_styles[at] = mark, style
            label = safe_text(beat.beat_class or "", 1)
            if beat.anomalous and label and at + 1 < width:
                marks[at + 1] = label
                mark_styles[at + 1] = style
    return runs("".join(marks), mark_styles), anomalous


def _write_gaps(chars: list[str], gaps: list[bool]) -> None:
    """Write a dashed line into ``chars`` where there is no signal, with a label in long gaps."""
    label = " gap "
    start = None
    for i, gap in enumerate([*gaps, False]):
        if gap:
            start = i if start is None else start
        elif start is not None:
            length = i - start
            dashes = "┄" * length
            if length >= len(label) + 4:
                dashes = f"{label:┄^{length}}"
            chars[start:i] = dashes
            start = None


def _time_axis(axis: _Axis, width: int) -> Text:
    """Return the seconds of the signal's own time, each at its cell."""
    cells = [" "] * width
    second = math.ceil(max(axis.first, 0) / axis.per_second)
    while (at := second * axis.per_second - axis.first) < width:
        label = f"╵{clock(second)}"
        if at + len(label) <= width:
            cells[at : at + len(label)] = label
        second += 1
    return Text("".join(cells), MUTED)
