"""How signals end a run: drained within five seconds, at once after a second signal."""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import IO

import pytest

from monitor.run.addresses import Ports
from pipeline.log.store import AlertLog
from tests.monitor.run.test_system import (
    DEADLINE_S,
    ECTOPIC_DEVICE,
    STAGES,
    alive,
    children,
    first_line,
    running,
    until,
)
from tests.support.limits import promised
from tests.support.ports import free_ports

pytestmark = pytest.mark.system

DRAINED_S = 5.0
PIPE_BYTES, LINE_BYTES = 4096, 1200
"""The smallest pipe there is, and more than an alert takes: what is left is too little for one."""

AT_ONCE_S = 1.0
"""Python itself needs some of it to end."""


def stop(process: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> tuple[bytes, float]:
    """Send a signal, read to the end, and return the output and the seconds it took."""
    began = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE_S)
    return output, time.monotonic() - began


@promised(DRAINED_S)
def test_drained_run_has_printed_all_alerts_of_its_log(tmp_path: Path, limit_s: float) -> None:
    """Within five seconds after SIGTERM every alert of the log is on stdout, once."""
    with running(tmp_path, "replay", "demo", "--speed", "20", "--json", "--port", "0") as process:
        first = first_line(process)
        stages = children(process.pid)
        rest, took_s = stop(process)
    *alerts, summary = (json.loads(line) for line in (first + rest).splitlines())

    assert process.returncode == 130
    assert took_s < limit_s
    assert summary["kind"] == "summary"
    with AlertLog(Path(summary["log"])) as log:
        assert [alert["seq"] for alert in alerts] == list(range(1, log.last_seq + 1))
    assert not any(alive(pid) for pid in stages.values())


def test_drained_run_leaves_its_log_and_nothing_else(tmp_path: Path) -> None:
    """No socket file, no lock and no zombie process remain; its ports are free."""
    ports = Ports(free_ports())
    ports.close()
    arguments = ("live", *ECTOPIC_DEVICE, "--json", "--port", str(ports.port))
    with running(tmp_path, *arguments) as process:
        first_line(process)
        pids = [process.pid, *children(process.pid).values()]
        stop(process)

    assert [path.suffix for path in tmp_path.rglob("*") if not path.is_dir()] == [".sqlite"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    for endpoint in ports.endpoints.values():
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", int(endpoint.rpartition(":")[2])))
            listener.listen()


@promised(DRAINED_S)
def test_run_with_a_frozen_scorer_ends_in_five_seconds_all_the_same(
    tmp_path: Path, limit_s: float
) -> None:
    """It waits for scores longer than a source may be silent, but not without end.

    That its own source is silent is no alarm, and no process is left behind.
    """
    arguments = ("replay", "demo", "--loop", "--speed", "20", "--json", "--port", "0")
    with running(tmp_path, *arguments) as process:
        first_line(process)
        stages = children(process.pid)
        os.kill(stages["score"], signal.SIGSTOP)
        output, took_s = stop(process)

    assert process.returncode == 130
    assert took_s < limit_s
    summary = json.loads(output.splitlines()[-1])
    assert summary["kind"] == "summary"
    with AlertLog(Path(summary["log"])) as log:
        assert "no_data" not in {alert.kind for alert in log.read(1, log.last_seq)}
    assert not any(alive(pid) for pid in stages.values())


@promised(AT_ONCE_S)
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_second_signal_ends_at_once(tmp_path: Path, number: signal.Signals, limit_s: float) -> None:
    """This holds even for a run that is still draining because its scorer is frozen."""
    with running(tmp_path, "replay", "demo", "--speed", "20", "--json", "--port", "0") as process:
        first_line(process)
        stages = children(process.pid)
        os.kill(stages["score"], signal.SIGSTOP)
        process.send_signal(number)
        assert until(lambda: not alive(stages["source"]), DEADLINE_S)
        assert process.poll() is None
        output, took_s = stop(process, number)

    assert process.returncode == 130
    assert took_s < limit_s
    assert json.loads(output.splitlines()[-1])["kind"] == "summary"
    assert not any(alive(pid) for pid in stages.values())


@promised(DRAINED_S)
def test_reader_who_does_not_read_cannot_hold_up_the_end(tmp_path: Path, limit_s: float) -> None:
    """With a full pipe behind stdout, SIGTERM still ends the run in five seconds."""
    with running(tmp_path, "replay", "demo", "--speed", "20", "--json", "--port", "0") as process:
        assert process.stdout is not None
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        assert until(lambda: children(process.pid).keys() >= STAGES, DEADLINE_S)
        stages = children(process.pid)
        out = process.stdout
        assert until(lambda: unread(out) > PIPE_BYTES - LINE_BYTES, DEADLINE_S)
        began = time.monotonic()
        process.terminate()
        process.wait(DEADLINE_S)
        took_s = time.monotonic() - began

    assert process.returncode == 130
    assert took_s < limit_s
    assert not any(alive(pid) for pid in stages.values())


def test_reader_who_does_not_read_cannot_hold_up_the_summary() -> None:
    """Where the pipe is full, writing the summary ends with `KeyboardInterrupt`."""
    code = (
        "import os, sys\n"
        "from monitor.run.shutdown import Shutdown\n"
        "os.set_blocking(1, False)\n"
        "try:\n"
        "    while True: os.write(1, bytes(4096))\n"
        "except BlockingIOError: os.set_blocking(1, True)\n"
        "shutdown = Shutdown()\n"
        "shutdown.requested = True\n"
        "with shutdown.bounded_output(): os.write(1, b'summary')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert process.stderr.read().endswith(b"KeyboardInterrupt\n")
        process.wait(DEADLINE_S)


def unread(out: IO[bytes]) -> int:
    """Return how many bytes lie in a pipe."""
    (count,) = struct.unpack("i", fcntl.ioctl(out, termios.FIONREAD, b"    "))
    return int(count)
