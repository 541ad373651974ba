"""`monitor status`: the state of a running system, requested once.

Troubles are faults of the system itself, as opposed to the alarms of patients: raising those is
what a system that works is for.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.commands.running.control import send_request
from monitor.text import lead_words, safe_text
from pipeline.constants import SCHEMA
from pipeline.errors import EndpointError
from pipeline.schema.public import Alert, Status, SystemReport, encode_json
from pipeline.schema.requests import ControlReply, State
from pipeline.transport.curve import ClientKeys

_WIDTH: Final = 100
_COLOURS: Final = {"normal": "green", "abnormal": "red", "not_analysable": "yellow"}
_MIB: Final = 1 << 20


def print_status(endpoint: str, *, as_json: bool, keys: ClientKeys | None = None) -> None:
    """Print the state of the monitor that publishes its alerts at ``endpoint``.

    Raises:
        EndpointError: no monitor answers, or one without this request.
        ConfigError: the address is malformed.
    """
    reply = send_request(endpoint, State(), keys)
    if reply.system is None:
        raise EndpointError(f"the monitor at {endpoint} answers without its state: is it older?")
    if as_json:
        sys.stdout.write(state_json(reply, reply.system) + "\n")
        return
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    for part in lines(reply, reply.system):
        console.print(part)


def state_json(reply: ControlReply, system: SystemReport) -> str:
    """Return the state as one JSON object."""
    found = troubles(system, reply.statuses)
    return json.dumps(
        {
            "schema": SCHEMA,
            "kind": "state",
            "well": not found,
            "troubles": found,
            "silenced_s": reply.silenced_s,
            "system": json.loads(encode_json(system)),
            "streams": [json.loads(encode_json(one)) for one in reply.statuses],
        }
    )


def troubles(system: SystemReport, statuses: Sequence[Status]) -> list[str]:
    """Return the faults of the system, not the alarms of its patients; nothing if it is well."""
    found = []
    running = [one for one in statuses if not one.ended]
    if not system.log.writable:
        found.append("the log cannot be written: alerts wait, NOT RECORDED")
    elif system.fault:
        found.append(system.fault)
    if system.recording is not None and system.recording.fault:
        found.append(system.recording.fault)
    if not system.scorers and (running or system.pending_windows):
        found.append("no scorer: beats wait, the rules on the signal go on")
    if system.unaccounted_windows:
        found.append(f"{system.unaccounted_windows} windows are unaccounted for: a bug")
    found += [f"{one.stream}: {one.reason}" for one in running if one.state == "not_analysable"]
    return found


def lines(reply: ControlReply, system: SystemReport) -> Iterator[Text | Table]:
    """Yield the state for people."""
    commit = f" ({safe_text(system.commit)})" if system.commit else ""
    memory = "" if system.resident_bytes is None else f", {system.resident_bytes / _MIB:.0f} MiB"
    yield Text(
        f"monitor  {safe_text(system.version)}{commit}, up {duration_text(system.uptime_s)}{memory}"
    )
    found = troubles(system, reply.statuses)
    for n, trouble in enumerate(found):
        yield Text(("not well " if n == 0 else " " * 9) + safe_text(trouble, 160), "bold yellow")
    if not found:
        yield Text("system   well", "green")
    yield streams_table(reply.statuses) if reply.statuses else Text("streams  none")
    several = [one for one in reply.statuses if one.lead_states and not one.ended]
    for n, one in enumerate(several):
        states = lead_words(one.lead_states, one.lead_in_use)
        yield Text(("leads    " if n == 0 else " " * 9) + f"{safe_text(one.stream)}: {states}")
    alarms = [*system.alarms, *(alarm for one in reply.statuses for alarm in one.alarms)]
    for n, alarm in enumerate(alarms):
        yield Text(("alarms   " if n == 0 else " " * 9) + alarm_text(alarm))
    yield Text(
        f"windows  {system.produced_windows} = {system.scored_windows} scored + "
        f"{system.pending_windows} pending + {system.refused_windows} refused; "
        f"{system.redelivered_windows} redelivered; scorers: {system.scorers}"
    )
    yield Text(
        f"samples  {system.received_samples} received, {system.duplicate_samples} duplicate, "
        f"{system.out_of_order_samples} out of order, {system.gap_samples} missing, "
        f"{system.late_samples} late, {system.shed_samples} shed; "
        f"{system.unreadable_lines} lines unreadable"
    )
    kinds = (f"{n} {safe_text(kind).replace('_', ' ')}" for kind, n in system.alerts.items())
    yield Text(
        f"alerts   {', '.join(kinds) or 'none'}; {system.rejected_frames} frames rejected, "
        f"{system.uncredited_chunks} chunks without credit"
    )
    log = system.log
    held = f"alerts {log.low_water_seq} to {log.last_seq}"
    yield Text(
        f"log      {safe_text(log.name)}: "
        f"{held if log.last_seq >= log.low_water_seq else 'no alerts'}, "
        f"{log.bytes / _MIB:.1f} MiB, write-ahead log {log.wal_bytes / _MIB:.1f} MiB"
    )
    if reply.silenced_s:
        yield Text(f"sound    paused for {reply.silenced_s:.0f} s")


def streams_table(statuses: Sequence[Status]) -> Table:
    """Return a table with a row for each stream."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("stream", "state"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for name in ("bpm", "AF", "data age", "pending", "beats", "alarms", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in statuses:
        state = "ended" if one.ended else one.state.replace("_", " ")
        why = f": {one.reason}" if one.reason and not one.ended else ""
        p99 = one.latency_p99_ms
        share = one.atrial_fibrillation_share
        table.add_row(
            Text(safe_text(one.stream)),
            Text(safe_text(state + why), "" if one.ended else _COLOURS.get(one.state, "")),
            "-" if one.bpm is None or one.ended else f"{one.bpm:.0f}",
            "-" if share is None else f"{100.0 * share:.0f} %",
            "-" if one.ended else f"{one.data_age_s:.1f} s",
            str(one.pending),
            str(one.beats),
            str(len(one.alarms)),
            "-" if p99 is None else f"{p99:.0f} ms",
        )
    return table


def alarm_text(alarm: Alert) -> str:
    """Return an active alarm as one line."""
    name = safe_text(alarm.kind.replace("_", " "))
    where = safe_text(alarm.stream) or "the system"
    return f"{where}: {name} ({alarm.priority}, {alarm.state}): {safe_text(alarm.reason, 80)}"


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units."""
    minutes, s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {s} s" if minutes else f"{s} s"
