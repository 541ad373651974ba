"""`monitor status` of running systems, of faulty ones, and without any."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from monitor.commands.running.status import duration_text, lines, troubles
from pipeline.hub.counters import HubCounters
from pipeline.schema.public import Alert, Status, SystemReport
from pipeline.schema.requests import ControlReply
from tests.monitor.run.test_system import (
    DEADLINE_S,
    ECTOPIC_DEVICE,
    finish,
    first_line,
    running,
    until,
)
from tests.monitor.test_metrics import scrape, value
from tests.pipeline.hub.test_counters import R7, report_of
from tests.support.ports import free_ports

pytestmark = pytest.mark.system

STATUS = Status(stream="a", state="normal", fs_hz=360.0, sample=720, time_s=2.0, bpm=72.4, beats=3)


def report(**changes: Any) -> SystemReport:
    """Return the report of a system that is well, with ``changes``."""
    well = report_of(HubCounters(), version="1.2")
    return msgspec.structs.replace(well, **{"scorers": 1, **changes})


def shown(reply: ControlReply, system: SystemReport) -> str:
    """Return what a terminal of 100 cells shows."""
    out = StringIO()
    console = Console(file=out, width=100, color_system=None, _environ={}, markup=False)
    for part in lines(reply, system):
        console.print(part)
    return out.getvalue()


def test_each_lead_of_a_stream_has_its_state() -> None:
    """In a word, the one in use marked; a stream of one lead has no such line."""
    states = {"II": "analysable", "V1": "off"}
    several = msgspec.structs.replace(STATUS, lead_states=states, lead_in_use="II")
    text = shown(ControlReply(statuses=[several]), report())
    assert "leads    a: II analysable (in use), V1 off" in text
    assert "leads " not in shown(ControlReply(statuses=[STATUS]), report())


def test_the_state_of_a_running_system_is_complete(tmp_path: Path) -> None:
    """It has streams, alarms, scorers, log and counters, which agree with its metrics."""
    port = free_ports()
    with running(
        tmp_path, "live", *ECTOPIC_DEVICE, "--json", "--port", str(port), "--metrics", "0",
        "--log-format", "json",
    ) as process:  # fmt: skip
        assert process.stderr is not None
        message = ""
        while not message.startswith("metrics at "):
            message = json.loads(process.stderr.readline())["message"]
        first_line(process)  # an alert
        url = message.removeprefix("metrics at ")
        assert until(lambda: value(scrape(url), "scored_windows_total") > 0, DEADLINE_S)
        before = scrape(url)
        asked = finish(tmp_path, "status", "--endpoint", f"tcp://127.0.0.1:{port}", "--json")
        [state] = map(json.loads, asked.stdout.splitlines())
        read = finish(tmp_path, "status", "--endpoint", f"tcp://127.0.0.1:{port}").stdout.decode()

    assert (asked.returncode, asked.stderr) == (0, b"")
    assert (state["kind"], state["well"], state["troubles"]) == ("state", True, [])
    [stream] = state["streams"]
    system = state["system"]
    assert stream["alarms"]
    assert stream["bpm"] > 0
    assert system["scorers"] == 1
    assert system["log"]["writable"]
    assert system["log"]["last_seq"] > 0
    parts = ("scored_windows", "pending_windows", "refused_windows")
    assert system["produced_windows"] == sum(system[name] for name in parts) > 0
    assert set(R7) <= set(system)
    for name in ("produced_windows", "scored_windows", "received_samples"):
        assert 0 < value(before, f"{name}_total") <= system[name]
    assert "system   well" in read
    assert stream["stream"] in read


def test_no_monitor_is_one_line_and_exit_2(tmp_path: Path) -> None:
    """The line names the address; stdout, where a program may expect JSON, is empty."""
    run = finish(tmp_path, "status", "--endpoint", f"tcp://127.0.0.1:{free_ports()}", "--json")
    assert (run.returncode, run.stdout) == (2, b"")
    [line] = run.stderr.decode().splitlines()
    assert "nothing answers" in line


def test_a_hub_without_a_scorer_answers_and_is_not_well(tmp_path: Path) -> None:
    """Exit 0, because it answers; the trouble is in the output."""
    port = free_ports()
    with running(tmp_path, "hub", "--port", str(port)) as process:
        ready = json.loads(first_line(process))
        while "endpoints" not in ready:
            ready = json.loads(first_line(process))  # after a word on the kernels, perhaps
        ingest = ready["endpoints"]["ingest"]
        fed = finish(tmp_path, "source", "demo", "--duration", "20", "--speed", "max",
                     "--ingest", ingest)  # fmt: skip
        run = finish(tmp_path, "status", "--endpoint", f"tcp://127.0.0.1:{port}", "--json")
    state = json.loads(run.stdout)

    assert (fed.returncode, run.returncode) == (0, 0)
    assert state["well"] is False
    assert any("no scorer" in trouble for trouble in state["troubles"])
    assert state["system"]["pending_windows"] == state["system"]["produced_windows"] > 10


@pytest.mark.parametrize(
    ("system", "status", "trouble"),
    [
        ({"scorers": 0, "pending_windows": 1, "produced_windows": 1}, {"ended": True}, "no scorer"),
        ({"scorers": 0}, {}, "no scorer"),
        ({"produced_windows": 2}, {}, "2 windows are unaccounted"),
        ({"fault": "alert 3 is damaged"}, {}, "alert 3 is damaged"),
        ({}, {"state": "not_analysable", "reason": "no data from the source"}, "a: no data"),
    ],
)
def test_each_trouble_of_the_system_is_named(
    system: dict[str, Any], status: dict[str, Any], trouble: str
) -> None:
    """Each has one line, in words."""
    [found] = troubles(report(**system), [msgspec.structs.replace(STATUS, **status)])
    assert trouble in found


def test_a_log_that_cannot_be_written_is_a_trouble_without_streams() -> None:
    """Alerts of the system have to wait as well."""
    sick = report(log=msgspec.structs.replace(report().log, writable=False))
    assert "NOT RECORDED" in troubles(sick, [])[0]


def test_an_alarm_of_a_patient_is_no_trouble_of_the_system() -> None:
    """The system works; the alarm is in the output all the same."""
    alarm = Alert(
        stream="a", kind="ventricular_fibrillation", category="physiological", priority="high",
        sample=0, time_s=0.0, reason="for 4 s",
    )  # fmt: skip
    status = msgspec.structs.replace(STATUS, state="abnormal", alarms=[alarm])
    text = shown(ControlReply(statuses=[status]), report())

    assert troubles(report(), [status]) == []
    assert "system   well" in text
    assert "alarms   a: ventricular fibrillation (high, on): for 4 s" in text
    assert "72" in text


def test_a_stream_that_ended_is_no_trouble() -> None:
    """Whatever the state of its signal was at the end."""
    over = msgspec.structs.replace(STATUS, state="not_analysable", reason="flat", ended=True)
    assert troubles(report(scorers=0), [over]) == []
    assert "ended" in shown(ControlReply(statuses=[over]), report())


def test_a_stream_cannot_control_the_terminal() -> None:
    """Its name and reason come over a socket."""
    evil = "\x1b]0;t\x07[bold]\u202e"
    status = msgspec.structs.replace(STATUS, stream=evil, state="not_analysable", reason=evil)
    text = shown(ControlReply(statuses=[status]), report(commit=evil, alerts={evil: 1}))
    assert text.replace("\n", "").isprintable()
    assert "[bold]" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (61, "1 min 1 s"), (7262, "2 h 1 min"), (180_000, "2 d 2 h")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    """A duration of days is given without seconds."""
    assert duration_text(seconds) == text
