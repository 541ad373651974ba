"""docs/deploy.md, done: a newcomer's terminals, with nothing but what the document prints."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from monitor.run.processes import child_command
from tests.support.limits import promised
from tests.support.paths import ROOT
from tests.support.ports import free_ports

pytestmark = pytest.mark.system

TEXT = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
DEADLINE_S = 60.0
PORTS = range(5570, 5575)
SERVING = {"hub": '"ready"', "score": '"ready"', "subscribe": ""}
"""Commands that go on, and what they print when they are there."""


def blocks(first_port: int) -> list[str]:
    """Return the document's shell blocks in order, on other ports."""
    found = re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)
    for above, port in enumerate(PORTS):
        found = [block.replace(str(port), str(first_port + above)) for block in found]
    return found


def program(first_port: int) -> str:
    """Return the command that runs the document's Python program."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    code = code.replace(str(PORTS[0]), str(first_port))
    return f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)}"


class Terminal:
    """A shell that runs one block."""

    def __init__(self, block: str, environment: dict[str, str]) -> None:
        self.output = ""
        self.process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.output += line
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def shows(self, text: str, wait_s: float = DEADLINE_S) -> bool:
        """Wait until ``text`` is in the output."""
        with self._news:
            self._news.wait_for(lambda: text in self.output or not self._reader.is_alive(), wait_s)
            return text in self.output

    def ends(self, wait_s: float = DEADLINE_S) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(wait_s)
        self._reader.join(wait_s)
        return code

    def close(self) -> None:
        """End all that runs in it."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """Return the environment of somebody who has a home and the command, and no more."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    shim = bin_folder / "monitor"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m monitor "$@"\n')
    shim.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    caches = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return {
        "HOME": str(home),
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": caches,  # the kernels are compiled already
        "OMP_NUM_THREADS": "1",
    }


def secrets_below(home: Path) -> list[str]:
    """Return every secret that was made."""
    return [path.read_text().split("\n")[2] for path in home.rglob("*.secret")]


def visible(terminals: list[Terminal]) -> Iterator[str]:
    """Yield what others on a machine can see of a process: its arguments and, partly, more."""
    for terminal in terminals:
        for process in (terminal.process.pid, *_children(terminal.process.pid)):
            for kind in ("cmdline", "environ"):
                with suppress(OSError):
                    yield Path(f"/proc/{process}/{kind}").read_bytes().decode(errors="replace")


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@promised(5.0)
def test_the_document_works_from_its_first_line_to_its_last(
    newcomer: dict[str, str], limit_s: float
) -> None:
    """Keys, hub, scorer, subscriber, source, acknowledgement, revocation: as printed.

    On the way, no secret shows in the arguments, environment, output or log of any process.
    """
    home = Path(newcomer["HOME"])
    serving: dict[str, Terminal] = {}
    ended: list[Terminal] = []
    first_port = free_ports(len(PORTS))
    with ExitStack() as stack:
        for block in blocks(first_port):
            (name,) = {*re.findall(r"monitor (hub|score|subscribe) ", block)} or {""}
            terminal = Terminal(block, newcomer)
            stack.callback(terminal.close)
            if name:
                serving[name] = terminal
                assert terminal.shows(SERVING[name]), terminal.output
                continue
            ended.append(terminal)
            assert terminal.ends() == 0, terminal.output
            if "monitor ack" in block:
                own = Terminal(program(first_port), newcomer)
                stack.callback(own.close)
                assert own.shows('"last_seq"'), own.output
            if "monitor source" in block:
                assert serving["subscribe"].shows("demo"), serving["subscribe"].output
                sight = list(visible([*serving.values()]))
        revoked_at = time.monotonic()
        assert serving["subscribe"].ends() == 2
        assert time.monotonic() - revoked_at < limit_s
        assert "refuses the key" in serving["subscribe"].output
        assert serving["hub"].process.poll() is None
        shown = "".join([*sight, *(t.output for t in [*ended, *serving.values()])])
    logged = b"".join(path.read_bytes() for path in home.rglob("hub.sqlite*"))
    secrets = secrets_below(home)

    assert len(secrets) == 4
    assert "--server-key" in shown  # the search sees arguments at all
    for secret in secrets:
        assert secret not in shown
        assert secret.encode() not in logged


def test_serving_elsewhere_without_keys_is_refused(newcomer: dict[str, str]) -> None:
    """Exit code 2 and one line, before anything else happens."""
    terminal = Terminal("monitor hub --bind 0.0.0.0 --port 0", newcomer)
    try:
        assert terminal.ends() == 2
    finally:
        terminal.close()
    assert len(terminal.output.splitlines()) == 1
    assert "keys" in terminal.output


def test_the_unit_is_one_and_names_options_that_there_are(tmp_path: Path) -> None:
    """What is printed for systemd is well-formed, and the command in it would start."""
    (unit,) = re.findall(r"```ini\n(.*?)```", TEXT, flags=re.DOTALL)
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, flags=re.MULTILINE)
    options = [word for word in shlex.split(command) if word.startswith("--")]
    start, variables = child_command(["hub", "--help"])
    known = subprocess.run(
        start, capture_output=True, text=True, check=True, env=variables | {"COLUMNS": "200"}
    ).stdout
    assert [option for option in options if f"{option} " not in known] == []
    assert {"LoadCredential", "LimitNOFILE", "MemoryMax"} <= {*re.findall(r"^(\w+)=", unit, re.M)}
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        path = tmp_path / "ecg-hub.service"
        path.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit, flags=re.M))
        run = subprocess.run(
            [analyze, "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60
        )
        complaints = [line for line in run.stderr.splitlines() if "ecg-hub.service" in line]
        assert complaints == []
