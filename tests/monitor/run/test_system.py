"""The command line as people start it: real processes, real sockets, real kills."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.run.processes import child_command
from replay.headers import DEMO_RECORD
from tests.monitor.cli.test_app import exit_code

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
"""The first run on a machine compiles the kernels."""

STAGES = {"hub", "score", "source"}

ECTOPIC_DEVICE = ("--device", "synthetic:?ectopic=0.3", "--false-alerts-per-hour", "30")
"""Raises its first alert within seconds."""

RUN_FIELDS = {"seq", "log_id", "utc", "latency_ms", "link", "link_before", "recorded"}
"""Fields that differ between runs; everything else of an alert must be the same."""


def command(*arguments: str) -> list[str]:
    """Return the command line of ``monitor``."""
    return child_command(arguments)[0]


def environment(state: Path) -> dict[str, str]:
    """Return the environment of a run whose logs lie under ``state``.

    It says nothing of a terminal's size: that of the tests is none of the run's.
    """
    others = {k: v for k, v in child_command(())[1].items() if k not in ("COLUMNS", "LINES")}
    return {**others, "XDG_STATE_HOME": str(state), "OMP_NUM_THREADS": "1"}


def finish(state: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, env=environment(state), timeout=DEADLINE_S
    )


@contextlib.contextmanager
def running(state: Path, *arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a command during the test, with Ctrl-C as in a terminal; end it with the test."""
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(state),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=DEADLINE_S)


def children(pid: int) -> dict[str, int]:
    """Return the process ids of the commands that ``pid`` started, by name."""
    found = {}
    lists = [tasks.read_text() for tasks in Path(f"/proc/{pid}/task").glob("*/children")]
    for child in " ".join(lists).split():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"monitor" in words:
                found[words[words.index(b"monitor") + 1].decode()] = int(child)
    return found


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def first_line(process: "subprocess.Popen[bytes]") -> bytes:
    """Wait for output and return its first line."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], DEADLINE_S)[0], "no output"
    return process.stdout.readline()


def until(done: Callable[[], bool], wait_s: float) -> bool:
    """Call ``done`` until it is true, at most for ``wait_s``; return its last result."""
    deadline = time.monotonic() + wait_s
    while not done() and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
    return done()


def alerts_and_summary(lines: bytes) -> tuple[list[str], dict[str, Any]]:
    """Return the alerts of a run's streams, without `RUN_FIELDS`, and its summary.

    Alerts of the system (stream "") are left out: they differ between runs, as a process may die.
    """
    *alerts, summary = (json.loads(line) for line in lines.splitlines())
    assert summary["kind"] == "summary"
    assert all("ticks" in alert for alert in alerts)
    of_streams = [alert for alert in alerts if alert["stream"]]
    kept = [{k: v for k, v in alert.items() if k not in RUN_FIELDS} for alert in of_streams]
    return sorted(json.dumps(alert, sort_keys=True) for alert in kept), summary


def test_replay_has_the_alerts_of_the_scan(
    tmp_path: Path, scanned: tuple[list[str], dict[str, Any]]
) -> None:
    """Three processes at full speed give the same alerts, numbered without a gap, with classes."""
    run = finish(tmp_path, "replay", "demo", "--speed", "max", "--json", "--port", "0")
    alerts, summary = alerts_and_summary(run.stdout)
    numbers = [json.loads(line)["seq"] for line in run.stdout.splitlines()[:-1]]

    assert run.returncode == 0
    assert alerts == scanned[0]
    for alert in map(json.loads, alerts):
        of_a_beat = (alert["kind"], alert["state"]) == ("anomalous_beat", "on")
        assert (alert["beat_class"] is not None) == of_a_beat
    assert numbers == list(range(1, len(alerts) + 1))
    for name in ("duration_s", "beats", "beats_not_analysable", "alerts"):
        assert summary[name] == scanned[1][name]
    assert Path(summary["log"]).is_relative_to(tmp_path)


def test_fewer_false_alerts_are_fewer_beats_and_the_same_in_replay_and_scan(
    tmp_path: Path, scanned: tuple[list[str], dict[str, Any]]
) -> None:
    """The option reaches the live score of both commands, and a lower rate gives fewer beats."""
    knob = ["--false-alerts-per-hour", "1", "--json"]
    scan, _ = alerts_and_summary(finish(tmp_path, "scan", "demo", *knob).stdout)
    replayed, _ = alerts_and_summary(
        finish(tmp_path, "replay", "demo", "--speed", "max", "--port", "0", *knob).stdout
    )

    assert replayed == scan
    called = [
        sum(json.loads(line)["count"] or 0 for line in alerts) for alerts in (scan, scanned[0])
    ]
    assert 0 < called[0] < called[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_a_summary_and_without_processes_left(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM alike: summary on stdout, exit code 130, no process left."""
    with running(tmp_path, "live", *ECTOPIC_DEVICE, "--plain", "--port", "0") as process:
        first_line(process)
        stages = children(process.pid)
        process.send_signal(number)
        output, errors = process.communicate(timeout=DEADLINE_S)

    assert stages.keys() >= STAGES
    assert process.returncode == 130
    assert errors == b""
    assert b"beats    " in output
    assert b"log      " in output
    assert b"not a medical device" in output
    assert not any(alive(pid) for pid in stages.values())


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """After kill -9 of the parent no child runs for more than seconds."""
    with running(tmp_path, "live", *ECTOPIC_DEVICE, "--json", "--port", "0") as process:
        assert until(lambda: children(process.pid).keys() >= STAGES, DEADLINE_S)
        stages = children(process.pid)
        process.kill()

    assert stages.keys() >= STAGES
    assert until(lambda: not any(alive(pid) for pid in stages.values()), DEADLINE_S)


def test_second_monitor_on_a_port_is_refused(tmp_path: Path) -> None:
    """One line names --port, exit 2, and no log; the first monitor continues."""
    with running(tmp_path / "hub", "hub", "--port", "0") as process:
        ready = json.loads(first_line(process))
        port = ready["endpoints"]["alerts"].rpartition(":")[2]
        run = finish(tmp_path / "second", "replay", "demo", "--json", "--port", port)

        assert run.returncode == 2
        assert run.stdout == b""
        [line] = run.stderr.decode().splitlines()
        assert "--port" in line
        assert list((tmp_path / "second").rglob("*.sqlite*")) == []
        assert process.poll() is None


def test_reader_that_closes_its_pipe_is_no_bug(tmp_path: Path) -> None:
    """``monitor scan demo --json | head -1`` ends quietly."""
    with running(tmp_path, "scan", "demo", "demo", "demo", "--beats") as process:
        first_line(process)
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, errors) == (0, b"")


def _bad_records(folder: Path) -> dict[str, list[str]]:
    """Write unusable records, and return the arguments that name each."""
    signal_bytes = DEMO_RECORD.with_suffix(".dat").read_bytes()

    def record(name: str, header: str, data: bytes | None = signal_bytes) -> str:
        (folder / f"{name}.hea").write_text(header)
        if data is not None:
            (folder / f"{name}.dat").write_bytes(data)
        return str(folder / name)

    def usual(name: str, rate: str = "360", samples: str = "43200") -> str:
        return f"{name} 1 {rate} {samples}\n{name}.dat 16 200 11 1024 0 0 0 MLII\n"

    os.mkfifo(folder / "pipe.dat")
    record("pipe", usual("pipe"), None)
    replay = {
        "missing record": str(folder / "nothing"),
        "no signal file": record("alone", usual("alone"), None),
        "truncated signal": record("cut", usual("cut"), signal_bytes[:5000]),
        "empty signal": record("empty", usual("empty"), b""),
        "no header": record("text", "Dear diary,\nnothing happened.\n"),
        "names itself": record("self", "self/1 1 360 10\nself 10\n"),
        "pipe": str(folder / "pipe"),
        "absolute path": record("abs", usual("/etc/passwd")),
        "parent path": record("up", usual("../up")),
        "more than there is": record("more", usual("more", samples="999999999999")),
        "rate 0": record("zero", usual("zero", rate="0")),
        "negative rate": record("minus", usual("minus", rate="-360")),
        "escape codes": str(folder / "\x1b[2Jred"),
    }
    return {
        **{name: ["replay", path] for name, path in replay.items()},
        "no such lead": ["replay", "demo", "--lead", "V9"],
        "start behind the end": ["replay", "demo", "--start", "1e9"],
        "speed": ["replay", "demo", "--speed", "fast"],
        "rate of false alerts": ["replay", "demo", "--false-alerts-per-hour", "-1"],
        "port": ["replay", "demo", "--port", "70000"],
        "unknown device": ["live", "--device", "telepathy:"],
        "absent device": ["live", "--device", f"serial:{folder}/ttyUSB7"],
        "device value": ["live", "--device", "synthetic:?bpm=soon"],
    }


_CASES = [
    "missing record",
    "no signal file",
    "truncated signal",
    "empty signal",
    "no header",
    "names itself",
    "pipe",
    "absolute path",
    "parent path",
    "more than there is",
    "rate 0",
    "negative rate",
    "escape codes",
    "no such lead",
    "start behind the end",
    "speed",
    "rate of false alerts",
    "port",
    "unknown device",
    "absent device",
    "device value",
]


_AS_PROCESSES = {
    "missing record",
    "pipe",
    "port",
    "unknown device",
    "start behind the end",
    "rate of false alerts",
    "absent device",
}
"""Refused by a process of their own: some of all kinds, and each that the run itself refuses, which
has taken the signals of its process by then. Starting Python is most of what the others would take.
"""


@pytest.mark.parametrize("case", _CASES)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    case: str,
) -> None:
    """Exit 2, one line on stderr without control characters, nothing on stdout, no log."""
    state, folder = tmp_path / "state", tmp_path / "records"
    folder.mkdir()
    words = [*_bad_records(folder)[case], "--json", *([] if case == "port" else ["--port", "0"])]
    if case in _AS_PROCESSES:
        run = finish(state, *words)
        code, output, errors = run.returncode, run.stdout, run.stderr
    else:
        monkeypatch.setenv("XDG_STATE_HOME", str(state))
        code = exit_code(monkeypatch, *words)
        output, errors = capfdbinary.readouterr()
    text = errors.decode()

    assert code == 2, text
    assert output == b""
    assert len(text.splitlines()) == 1, text
    assert text.startswith("monitor: ")
    assert text.rstrip("\n").isprintable()
    assert list(state.rglob("*.sqlite*")) == []
