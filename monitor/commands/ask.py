"""What a person asks of a running monitor: acknowledge, silence, show."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from monitor.dashboard.braille import curve, envelope
from monitor.text import safe_text
from pipeline.client import CONTROL_ABOVE, ask, endpoint_above
from pipeline.errors import ConfigError, InputError
from pipeline.log.reader import LogReader
from pipeline.schema.public import Alert, SignalStrip, encode_json, is_signal
from pipeline.schema.requests import Acknowledge, ControlReply, ControlRequest, Show, Silence
from pipeline.transport.curve import ClientKeys

_WIDTH: Final = 100
_ROWS: Final = 10
_LEAST_MV: Final = 0.2
"""Of the picture's height: a flat line shall look flat."""


def acknowledge(
    endpoint: str,
    *,
    stream: str,
    episode: str,
    as_json: bool,
    keys: ClientKeys | None = None,
) -> None:
    """Acknowledge what stands, all of it or one alarm, and print what that was.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the monitor refuses.
    """
    reply = asked(endpoint, Acknowledge(stream=stream, episode=episode), keys)
    if as_json:
        _print_json(reply)
        return
    for alert in reply.alerts:
        over = "over" if alert.state == "off" else "still there"
        name = safe_text(alert.kind.replace("_", " "))
        where = safe_text(alert.stream) or "the system"
        priority, episode = safe_text(alert.priority), safe_text(alert.episode, 128)
        _print(f"acknowledged: {where}: {name} ({priority}), {over}  {episode}")
    if not reply.alerts:
        where = f" in {safe_text(stream)}" if stream else ""
        _print(
            f"nothing to acknowledge{where}"
            + (f": no alarm {safe_text(episode, 128)} stands" if episode else "")
        )


def silence(
    endpoint: str, seconds: float, *, as_json: bool, keys: ClientKeys | None = None
) -> None:
    """Pause the sound; what is seen stays, and a new alarm of high priority ends the pause.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the monitor refuses.
    """
    reply = asked(endpoint, Silence(seconds=seconds), keys)
    if as_json:
        _print_json(reply)
    elif reply.silenced_s:
        _print(f"no sound for {reply.silenced_s:g} s, unless a new alarm of high priority comes")
    else:
        _print("sound is on")


def show(
    seq: int,
    *,
    endpoint: str,
    log: Path | None,
    png: Path | None,
    as_json: bool,
    keys: ClientKeys | None = None,
) -> None:
    """Print an alert and the signal around it; draw the signal into a file, if asked to.

    Args:
        seq: number of the alert.
        endpoint: of the alerts of a running monitor.
        log: a log to read instead.
        png: the picture to write.
        as_json: print one JSON object.
        keys: what to show a monitor that asks for keys.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the picture cannot be drawn or put there.
        InputError: there is no such log, or it has no such alert.
        LogError: the log cannot be read.
    """
    if png is not None:
        from models.evaluation.report.pictures import prepare
        from models.files.atomic_write import replaceable_file

        replaceable_file(png, read=[] if log is None else [log])
        prepare(png.parent)
    reply = asked(endpoint, Show(seq=seq), keys) if log is None else _from_log(log, seq)
    (alert,) = reply.alerts
    if as_json:
        _print_json(reply)
    else:
        for line in [*facts(alert), *picture(alert, reply.strip)]:
            _print(line)
    if png is not None:
        from models.evaluation.report.strip_picture import draw_strip

        if reply.strip is None or not is_signal(reply.strip):
            raise InputError(f"alert {seq} has no strip of signal: there is nothing to draw")
        draw_strip(png, alert, reply.strip)


def asked(endpoint: str, request: ControlRequest, keys: ClientKeys | None = None) -> ControlReply:
    """Return the answer of the monitor whose alerts are at ``endpoint``.

    Raises:
        EndpointError: no monitor answers.
        ConfigError: the address is malformed, or the monitor refuses.
    """
    reply = ask(endpoint_above(endpoint, CONTROL_ABOVE), request, keys=keys)
    if reply.error:
        raise ConfigError(f"the monitor at {endpoint} says: {safe_text(reply.error, 300)}")
    return reply


def _from_log(path: Path, seq: int) -> ControlReply:
    with LogReader(path) as log:
        alert = log.alert(seq)
        if alert is None:
            meta = log.meta()
            first, last = meta.low_water_seq, meta.last_seq
            raise InputError(f"{path} holds no alert {seq}: it has {first} to {last}")
        return ControlReply(alerts=[alert], strip=log.strip(seq))


def facts(alert: Alert) -> Iterator[str]:
    """Yield what an alert says, a line for each fact that it has."""
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
    if alert.score is not None and alert.threshold is not None:
        yield f"score    {alert.score:.2f}, alarmed above {alert.threshold:.2f}"
    yield f"notice   {safe_text(alert.notice)}"


def picture(alert: Alert, strip: SignalStrip | None) -> Iterator[str]:
    """Yield the strip as lines of braille with its axes, the alert's place marked."""
    if strip is None or not is_signal(strip):
        yield "signal   none was kept of it"
        return
    mv = np.array([np.nan if value is None else value for value in strip.mv])
    bottom, top = (np.nanmin(mv), np.nanmax(mv)) if np.isfinite(mv).any() else (-0.5, 0.5)
    top = max(top, bottom + _LEAST_MV)
    begin_s = strip.first_sample / strip.fs_hz
    seconds = mv.size / strip.fs_hz
    yield ""
    low, high = envelope(mv, 0.0, mv.size / (2 * _WIDTH), 2 * _WIDTH)
    rows = curve(low, high, _ROWS, bottom, top)
    for i, row in enumerate(rows):
        label = f"{top:5.1f} mV" if i == 0 else f"{bottom:5.1f} mV" if i == _ROWS - 1 else ""
        yield f"{label:8s} {row}".rstrip()
    share = (alert.time_s - begin_s) / seconds
    marks = [" "] * _WIDTH
    if 0.0 <= share <= 1.0:
        marks[round(share * (_WIDTH - 1))] = "▲"
    yield " " * 9 + "".join(marks).rstrip()
    left, right = _clock(begin_s), _clock(begin_s + seconds)
    yield " " * 9 + left + " " * max(1, _WIDTH - len(left) - len(right)) + right


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(time_s, 60.0)
    return f"{int(minutes)}:{seconds:04.1f}"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


def _print_json(reply: ControlReply) -> None:
    sys.stdout.write(encode_json(reply).decode() + "\n")
