"""The dashboard as a process of its own, on a terminal that the test holds the other end of."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from monitor.run.addresses import Ports
from pipeline.schema.public import Alert
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.monitor.run.test_system import (
    DEADLINE_S,
    ECTOPIC_DEVICE,
    alive,
    children,
    command,
    environment,
    finish,
    first_line,
    running,
    until,
)
from tests.support import running as running_tools
from tests.support.ports import free_ports

pytestmark = pytest.mark.system

IN, OUT = b"\x1b[?1049h", b"\x1b[?1049l"
"""To the alternate screen, and back."""

SHOW_CURSOR = b"\x1b[?25h"


class Terminal:
    """The master's side of a pseudo-terminal, and all that was written to it."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.seen = b""

    def sees(self, *texts: bytes, after: int = 0) -> bool:
        """Wait until all of ``texts`` were written after the first ``after`` bytes."""
        deadline = time.monotonic() + DEADLINE_S
        while not all(text in self.seen[after:] for text in texts):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                return False
            try:
                self.seen += os.read(self.master, 65536)
            except OSError:  # the last program on the terminal has ended
                return all(text in self.seen[after:] for text in texts)
        return True

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self.master)
        self.master = -1

    def settings(self) -> list[object]:
        """Return the settings of the terminal: echo, line mode, and so on."""
        return termios.tcgetattr(self.master)


@contextlib.contextmanager
def on_terminal(
    state: Path, *arguments: str, shell: Sequence[str] = ()
) -> "Iterator[tuple[subprocess.Popen[bytes], Terminal]]":
    """Run a command in the foreground of a terminal of its own, started by ``shell`` if given."""
    master, slave = pty.openpty()
    terminal = Terminal(master)
    terminal.resize(100, 30)

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        # The parent may ignore these signals, and children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    process = subprocess.Popen(
        [*shell, *command(*arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment(state), "TERM": "xterm-256color"},
        preexec_fn=take_terminal,
    )
    os.close(slave)
    try:
        yield process, terminal
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE_S)
        if terminal.master >= 0:
            terminal.hang_up()


def test_killed_dashboard_restores_the_terminal_and_is_started_again(tmp_path: Path) -> None:
    """Kill -9: alternate screen off, settings as before; a new dashboard shows the death."""
    arguments = ("live", *ECTOPIC_DEVICE, "--port", "0")
    with on_terminal(tmp_path, *arguments) as (process, terminal):
        before = terminal.settings()
        assert terminal.sees(IN, b"ECG MONITOR", b"anomalous beat")
        watcher = children(process.pid)["watch"]
        mark = len(terminal.seen)
        os.kill(watcher, signal.SIGKILL)

        assert terminal.sees(OUT, SHOW_CURSOR, after=mark)
        assert terminal.settings() == before
        assert terminal.sees(IN, b"ECG MONITOR", after=mark)
        assert terminal.sees(b"process died", after=mark)
        assert children(process.pid)["watch"] != watcher

        stages = children(process.pid)
        mark = len(terminal.seen)
        terminal.type(b"\x03")
        assert terminal.sees(OUT, b"log      ", b"not a medical device", after=mark)
        assert process.wait(DEADLINE_S) == 130

    picture, _, lines = terminal.seen[mark:].partition(OUT)
    assert b"log      " not in picture
    assert b"not a medical device" in lines
    assert not any(alive(pid) for pid in stages.values())


def test_dashboard_follows_the_size_of_the_terminal(tmp_path: Path) -> None:
    """It is redrawn in the new width."""
    arguments = ("live", *ECTOPIC_DEVICE, "--port", "0")
    with on_terminal(tmp_path, *arguments) as (_, terminal):
        assert terminal.sees(IN, b"ECG MONITOR")
        terminal.resize(60, 20)
        mark = len(terminal.seen)
        assert terminal.sees(b"\x1b[1;1H", b"ECG MONITOR", after=mark)
        assert terminal.sees(b"\x1b[?25l")


def test_second_dashboard_starts_and_ends_by_itself(tmp_path: Path) -> None:
    """`monitor watch` in another terminal: Ctrl-C ends it, but not the monitor."""
    ports = Ports(free_ports())
    ports.close()
    with running(tmp_path, "hub", "--port", str(ports.port)) as hub:
        first_line(hub)
        endpoint = ports.endpoints["alerts"]
        with on_terminal(tmp_path, "watch", "--endpoint", endpoint) as (process, terminal):
            assert terminal.sees(IN, b"ECG MONITOR")
            terminal.type(b"\x03")
            assert process.wait(DEADLINE_S) == 130
            assert terminal.sees(OUT, SHOW_CURSOR)
        assert hub.poll() is None


def test_a_dashboard_that_joins_late_shows_what_is_wrong_with_the_system(tmp_path: Path) -> None:
    """The alarm belongs to no stream and was published before the dashboard subscribed."""
    config = PatientConfig(fs=360.0, seed=1)
    with (
        running_tools.running_hub(tmp_path / "log") as hub,
        running_tools.subscriber(hub) as listener,
    ):
        running_tools.feed(hub, "demo", SyntheticPatient(config).generate(7_200).samples)

        def published() -> bool:
            return any(
                isinstance(m, Alert) and m.kind == "no_scorer" for m in listener.receive(0.1)
            )

        running_tools.until(published)
        endpoint = hub.endpoints["alerts"]
        with on_terminal(tmp_path, "watch", "--endpoint", endpoint) as (_, terminal):
            assert terminal.sees(IN, b"[NO SCORER")


def test_dashboard_without_a_terminal_is_refused(tmp_path: Path) -> None:
    """One line says what to use instead."""
    run = finish(tmp_path, "watch")

    assert run.returncode == 2
    assert b"monitor subscribe" in run.stderr
    assert run.stdout == b""


def test_a_terminal_without_a_cursor_is_none_to_draw_on(tmp_path: Path) -> None:
    """It would stay empty, whatever the patients: a run prints lines there."""
    dumb = ("env", "TERM=dumb")
    with on_terminal(tmp_path, "watch", "--endpoint", "tcp://127.0.0.1:1", shell=dumb) as (
        process,
        terminal,
    ):
        assert terminal.sees(b"monitor subscribe")
        assert process.wait(DEADLINE_S) == 2

    script = (
        "from monitor.dashboard.options import DashboardOptions\n"
        "from monitor.run.reporters import choose_reporter\n"
        "print(choose_reporter(plain=False, as_json=False, look=DashboardOptions()))"
    )
    for term, chosen in (("dumb", b"PlainReporter"), ("xterm", b"SummaryReporter")):
        with on_terminal(
            tmp_path, shell=("env", f"TERM={term}", sys.executable, "-c", script, "--")
        ) as (process, terminal):
            assert terminal.sees(chosen)


def test_a_terminal_that_lacks_characters_shows_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of Latin-1 has no box drawing and no braille; the dashboard draws with ASCII."""
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    with on_terminal(tmp_path, "watch", "--endpoint", "tcp://127.0.0.1:1") as (process, terminal):
        assert terminal.sees(IN, b"ECG MONITOR", b"---------", b"not a medical device")
        assert terminal.seen.isascii()
        assert process.poll() is None


def test_lost_terminal_ends_the_run(tmp_path: Path) -> None:
    """A closed window or a broken connection drains the run like SIGTERM."""
    arguments = ("live", *ECTOPIC_DEVICE, "--port", "0")
    with on_terminal(tmp_path, *arguments) as (process, terminal):
        assert terminal.sees(IN, b"ECG MONITOR")
        stages = children(process.pid)
        terminal.hang_up()
        assert process.wait(DEADLINE_S) == 130
    assert not any(alive(pid) for pid in stages.values())


def test_dashboard_ends_with_its_run_and_restores_the_terminal(tmp_path: Path) -> None:
    """After kill -9 of the run the dashboard ends by itself within a second or two."""
    arguments = ("live", *ECTOPIC_DEVICE, "--port", "0")
    shell = ("sh", "-c", '"$@"; read line', "sh")
    with on_terminal(tmp_path, *arguments, shell=shell) as (process, terminal):
        assert terminal.sees(IN, b"ECG MONITOR")
        run = children(process.pid)["live"]
        stages = children(run)
        assert "watch" in stages
        os.kill(run, signal.SIGKILL)
        assert terminal.sees(OUT, SHOW_CURSOR)
        assert until(lambda: not any(alive(pid) for pid in stages.values()), DEADLINE_S)
