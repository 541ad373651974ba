"""Child processes of a run, and how a child knows when to end.

Each child is the `monitor` command itself. It prints one JSON line on stdout when it is ready
(`monitor.run.events`), and ends when its parent no longer runs, for whatever reason.
"""

import contextlib
import json
import os
import selectors
import signal
import site
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, TypeVar

from monitor.run.events import HubReady, ScorerReady, SourceReady
from pipeline.errors import MonitorError

ReadyEvent = TypeVar("ReadyEvent", HubReady, ScorerReady, SourceReady)

_READY_TIMEOUT_S: Final = 180.0
"""Without a note that asks for more: a hub that has to compile its kernels says so."""

SUPERVISOR: Final = "ECG_MONITOR_SUPERVISOR"
"""Variable of the environment with the secret by which a hub knows its supervisor: other users
cannot read it, as they could an argument."""

_ROOT: Final = Path(__file__).parents[2]
"""Where the packages lie."""


class Refused(Exception):  # noqa: N818  (an outcome, not a bug)
    """A child refused its configuration; the reason is on its stderr, its exit code here."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ChildDiedError(MonitorError):
    """A process that the run needs died or hung before it was ready."""


def stop_when_orphaned(parent: int | None) -> Callable[[], bool]:
    """Return a function that says whether to stop: SIGTERM came, or ``parent`` no longer runs."""
    stopped = False

    def on_signal(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, on_signal)
    return lambda: stopped or (parent is not None and os.getppid() != parent)


@contextlib.contextmanager
def interrupted_between_turns(stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end a loop only between its turns, where its state is consistent.

    Yields the function that the loop calls before each turn. A second Ctrl-C interrupts at once.

    Raises:
        KeyboardInterrupt: at the end, if Ctrl-C ended the loop.
    """
    interrupted = False

    def on_signal(number: int, frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(number, before)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield stop
        return
    signal.signal(signal.SIGINT, on_signal)
    try:
        yield lambda: interrupted or stop()
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt


def child_command(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return command line and environment of the ``monitor`` command as a process of its own.

    The process runs the packages that this one runs, and imports nothing else from the current
    folder: Python starts in safe-path mode (``-P``). Where it would not find these packages then,
    because they lie in a checkout that is not installed, PYTHONPATH names the checkout's root.

    Args:
        arguments: of ``monitor``.
    """
    environment = dict(os.environ)
    if not _found_by_children():
        inherited = [environment["PYTHONPATH"]] if environment.get("PYTHONPATH") else []
        environment["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *inherited])
    return [sys.executable, "-P", "-m", "monitor", *arguments], environment


def _found_by_children() -> bool:
    """Return whether Python in safe-path mode finds this very package.

    It searches PYTHONPATH and the installed packages, and asks the finders of packages that
    are installed for editing. Of this process's own ``sys.path`` nothing can be concluded: whatever
    started it may have put the current folder, or anything else, on it.
    """
    named = filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = [*named, *site.getsitepackages(), site.getusersitepackages()]
    for finder in sys.meta_path:
        spec = finder.find_spec("monitor", path)
        if spec is not None:
            return spec.origin == str(_ROOT / "monitor" / "__init__.py")
    return False


class Child:
    """A `monitor` command as a child process."""

    def __init__(
        self,
        arguments: Sequence[str],
        stderr: IO[bytes] | None,
        *,
        on_terminal: bool = False,
        reads_input: bool = False,
        inherits: Iterable[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare the process; `start` starts it.

        Args:
            arguments: of ``monitor``.
            stderr: receives its stderr; None for that of this process.
            on_terminal: whether it draws on this terminal, instead of printing events on stdout.
            reads_input: whether it has the standard input of this process.
            inherits: descriptors that it inherits.
            environment: further variables of its environment.
        """
        self._arguments = arguments
        self._stderr = stderr
        self._on_terminal = on_terminal
        self._reads_input = reads_input or on_terminal
        self._inherits = tuple(inherits)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *further: str) -> None:
        """Start the process, for the first time or again, with ``further`` arguments."""
        self._close_pipe()
        words = [*self._arguments, *further, "--parent", str(os.getpid())]
        command, environment = child_command(words)
        self._process = subprocess.Popen(
            command,
            env=environment | self._environment,
            stdin=None if self._reads_input else subprocess.DEVNULL,
            stdout=None if self._on_terminal else subprocess.PIPE,
            stderr=self._stderr,
            pass_fds=self._inherits,
            # Only the parent acts on Ctrl-C in the terminal. A dashboard must stay in the
            # foreground to use the terminal; it ignores the signal.
            start_new_session=not self._on_terminal,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, minus the signal for one that was killed; None while it runs."""
        return None if self._process is None else self._process.poll()

    def wait_ready(self, kind: type[ReadyEvent], on_note: Callable[[str], None]) -> ReadyEvent:
        """Return the ready event of the process.

        Args:
            kind: of the event.
            on_note: takes the text of each note before it.

        Raises:
            Refused: the process ended instead, with the reason on stderr.
            ChildDiedError: it was killed, or took too long.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        patience_s = _READY_TIMEOUT_S
        deadline = time.monotonic() + patience_s
        buffered = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if not selector.select(timeout=0.25):
                    continue
                piece = os.read(self._process.stdout.fileno(), 65536)
                if not piece:
                    raise self._failed_start(self._process.wait())
                buffered += piece
                *lines, buffered = buffered.split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event.pop("event") == "ready":
                        return kind(**event)
                    patience_s = max(patience_s, event.get("patience_s", 0.0))
                    deadline = max(deadline, time.monotonic() + event.get("patience_s", 0.0))
                    on_note(event["text"])
        raise ChildDiedError(f"no answer within {patience_s:g} s from: {self._arguments[0]}")

    def _failed_start(self, code: int) -> Exception:
        if code > 0:
            return Refused(code)
        from pipeline.alarms.system import cause_of_death  # and with it numpy, slow for --help

        return ChildDiedError(f"{self._arguments[0]} {cause_of_death(code)} before it began")

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process is not None:
            self._process.terminate()

    def end(self, timeout_s: float) -> None:
        """Wait for the process to end; kill it after ``timeout_s``."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


def end_all(children: Iterable[Child], timeout_s: float) -> None:
    """Ask all ``children`` to end; kill those still running after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    children = list(children)
    for child in children:
        child.terminate()
    for child in children:
        child.end(deadline - time.monotonic())
