"""`monitor show`: an alert and the ten seconds of signal around it, all leads under each other."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from monitor.commands.running.control import print_reply, send_request
from monitor.dashboard.braille import curve, envelope
from monitor.text import lead_words, safe_text
from pipeline.errors import InputError
from pipeline.log.reader import LogReader
from pipeline.schema.public import Alert, SignalStrip, is_signal
from pipeline.schema.requests import ControlReply, Show
from pipeline.transport.curve import ClientKeys

_WIDTH: Final = 100
_ROWS: Final = 10
_ROWS_OF_SEVERAL: Final = 6
"""Lines of each trace, of one lead and of several."""

_LEAST_MV: Final = 0.2
"""Smallest range of the vertical axis, so that a flat line looks flat."""


def show_alert(
    seq: int,
    *,
    endpoint: str,
    log: Path | None,
    png: Path | None,
    as_json: bool,
    keys: ClientKeys | None = None,
    recording: Path | None = None,
) -> None:
    """Print an alert and the signal around it; with ``png``, draw the signal into a file as well.

    Args:
        seq: number of the alert.
        endpoint: address of the alerts of a running monitor.
        log: a log to read instead of asking a monitor.
        png: the picture to write.
        as_json: print one JSON object.
        keys: for a monitor that asks for keys.
        recording: folder of a recording to take the signal from, in place of the log's.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the picture cannot be drawn or written there.
        InputError: there is no such log, or it has no such alert; or the recording has no signal
            of it.
        LogError: the log cannot be read.
    """
    if png is not None:
        from models.evaluation.report.pictures import prepare
        from models.files.atomic_write import replaceable_file

        replaceable_file(png, read=[] if log is None else [log])
        prepare(png.parent)
    reply = send_request(endpoint, Show(seq=seq), keys) if log is None else _from_log(log, seq)
    (alert,) = reply.alerts
    if recording is not None:
        from monitor.commands.running.recorded_strip import recorded_strip

        reply = ControlReply(alerts=[alert], strip=recorded_strip(recording, alert))
    if as_json:
        print_reply(reply)
    else:
        for line in [*facts(alert), *picture(alert, reply.strip)]:
            sys.stdout.write(line + "\n")
    if png is not None:
        from models.evaluation.report.strip_picture import draw_strip

        if reply.strip is None or not is_signal(reply.strip):
            raise InputError(f"alert {seq} has no strip of signal: there is nothing to draw")
        draw_strip(png, alert, reply.strip)


def _from_log(path: Path, seq: int) -> ControlReply:
    with LogReader(path) as log:
        alert = log.alert(seq)
        if alert is None:
            meta = log.meta()
            first, last = meta.low_water_seq, meta.last_seq
            raise InputError(f"{path} holds no alert {seq}: it has {first} to {last}")
        return ControlReply(alerts=[alert], strip=log.strip(seq))


def facts(alert: Alert) -> Iterator[str]:
    """Yield the fields of an alert that are set, one line each."""
    kind = safe_text(alert.kind.replace("_", " "))
    category, priority, state = map(safe_text, (alert.category, alert.priority, alert.state))
    yield f"{kind}, {category}, {priority} priority, {state}"
    yield f"stream   {safe_text(alert.stream) or 'the system itself'}, alert {alert.seq}"
    when = f"{_clock(alert.time_s)} of the signal, sample {alert.sample}"
    yield f"at       {when}" + (f", raised {safe_text(alert.utc)}" if alert.utc else "")
    if alert.event_utc:
        yield f"         {safe_text(alert.event_utc)} by the source's clock"
    yield f"why      {safe_text(alert.reason, 160)}"
    if alert.begin_s is not None:
        end = "" if alert.end_s is None else f" to {_clock(alert.end_s)}"
        yield f"lasting  from {_clock(alert.begin_s)}{end}"
    for name, table in (
        ("values", alert.values),
        ("class", alert.class_probabilities),
        ("shares", alert.shares),
    ):
        if table:
            entries = (f"{safe_text(key)} {value:g}" for key, value in table.items())
            yield f"{name:8s} {', '.join(entries)}"
    if alert.leads:
        yield f"leads    {lead_words(alert.leads)}"
    if alert.score is not None and alert.threshold is not None:
        yield f"score    {alert.score:.2f}, alarmed above {alert.threshold:.2f}"
    yield f"notice   {safe_text(alert.notice)}"


def picture(alert: Alert, strip: SignalStrip | None) -> Iterator[str]:
    """Yield the strip as lines of braille with its axes; a mark shows the time of the alert.

    Of several leads each has its name, and a mark if it was in use at the alert.
    """
    if strip is None or not is_signal(strip):
        yield "signal   none was kept of it"
        return
    begin_s = strip.first_sample / strip.fs_hz
    seconds = len(strip.mv) / strip.fs_hz
    names = strip.leads or []
    for lead, values in enumerate(strip.signals):
        mark = "▸ " if lead == strip.in_use else "  "
        name = mark + safe_text(names[lead], 6) if names else ""
        yield ""
        yield from _trace(values, name, _ROWS_OF_SEVERAL if names else _ROWS)
    share = (alert.time_s - begin_s) / seconds
    marks = [" "] * _WIDTH
    if 0.0 <= share <= 1.0:
        marks[round(share * (_WIDTH - 1))] = "▲"
    yield " " * 9 + "".join(marks).rstrip()
    left, right = _clock(begin_s), _clock(begin_s + seconds)
    yield " " * 9 + left + " " * max(1, _WIDTH - len(left) - len(right)) + right


def _trace(values: list[float | None], name: str, rows: int) -> Iterator[str]:
    """Yield the curve of one lead on its scale, with its name under the upper limit."""
    mv = np.array([np.nan if value is None else value for value in values])
    if name and not np.isfinite(mv).any():
        yield f"{name:8s} no signal"
        return
    bottom, top = (np.nanmin(mv), np.nanmax(mv)) if np.isfinite(mv).any() else (-0.5, 0.5)
    top = max(top, bottom + _LEAST_MV)
    low, high = envelope(mv, 0.0, mv.size / (2 * _WIDTH), 2 * _WIDTH)
    labels = {0: f"{top:5.1f} mV", 1: name, rows - 1: f"{bottom:5.1f} mV"}
    for i, row in enumerate(curve(low, high, rows, bottom, top)):
        label = labels.get(i, "")
        yield f"{label:8s} {row}".rstrip()


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(time_s, 60.0)
    return f"{int(minutes)}:{seconds:04.1f}"
