"""One stage of the monitor as a child process, and how a stage knows when to leave.

Each stage is the `monitor` command itself, started as a child that prints one JSON line on stdout
when it is ready. Children leave when their parent is gone, however it went.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from pipeline.alarms.system import cause_of_death
from pipeline.errors import MonitorError

_READY_TIMEOUT_S: Final = 180.0
"""The hub may have to compile its kernels first."""

_ROOT: Final = Path(__file__).parents[2]
"""Where the packages lie."""


class Refused(Exception):  # noqa: N818  (a way to leave, not a fault of ours)
    """A child refused to work and said why on stderr; carries its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ChildDiedError(MonitorError):
    """A process that is needed did not begin."""


def stop_when_orphaned(parent: int | None) -> Callable[[], bool]:
    """Return what a stage asks to know whether to stop: SIGTERM came, or ``parent`` is gone."""
    stopped = False

    def on_signal(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, on_signal)
    return lambda: stopped or (parent is not None and os.getppid() != parent)


@contextlib.contextmanager
def interrupted_between_turns(stop: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end a loop only where it asks ``stop``, its state being whole; a second, at once.

    Yields what the loop has to ask. At the end `KeyboardInterrupt` is raised if it was Ctrl-C.
    """
    asked = False

    def on_signal(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield stop
        return
    signal.signal(signal.SIGINT, on_signal)
    try:
        yield lambda: asked or stop()
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
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

    It looks where PYTHONPATH says, among what is installed, and asks the finders of packages that
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
    """One stage as a process."""

    def __init__(
        self,
        arguments: Sequence[str],
        stderr: IO[bytes] | None,
        *,
        on_terminal: bool = False,
    ) -> None:
        """Prepare the process; `start` starts it.

        Args:
            arguments: of ``monitor``.
            stderr: where its stderr goes; None for this process's own.
            on_terminal: it shows itself on this terminal, instead of announcing itself on stdout.
        """
        self._arguments = arguments
        self._stderr = stderr
        self._on_terminal = on_terminal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *further: str) -> None:
        """Start the process, again if need be, with ``further`` arguments."""
        self._close_pipe()
        words = [*self._arguments, *further, "--parent", str(os.getpid())]
        command, environment = child_command(words)
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=None if self._on_terminal else subprocess.DEVNULL,
            stdout=None if self._on_terminal else subprocess.PIPE,
            stderr=self._stderr,
            # Ctrl-C in the terminal is for the parent to act on. What shows itself there stays in
            # the foreground, or it could not use the terminal, and ignores it.
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

    def wait_ready(self, on_note: Callable[[str], None]) -> dict[str, Any]:
        """Return the ready line; notes on the way there go to ``on_note``.

        Raises:
            Refused: the process ended instead, with its reason on stderr.
            ChildDiedError: it was killed, or took too long.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + _READY_TIMEOUT_S
        buffered = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if not selector.select(timeout=0.25):
                    continue
                piece = os.read(self._process.stdout.fileno(), 65536)
                if not piece:
                    raise self._no_beginning(self._process.wait())
                buffered += piece
                *lines, buffered = buffered.split(b"\n")
                for line in lines:
                    event: dict[str, Any] = json.loads(line)
                    if event["event"] == "ready":
                        return event
                    on_note(event["text"])
        raise ChildDiedError(f"no answer within {_READY_TIMEOUT_S:g} s from: {self._arguments[0]}")

    def _no_beginning(self, code: int) -> Exception:
        if code > 0:
            return Refused(code)
        return ChildDiedError(f"{self._arguments[0]} {cause_of_death(code)} before it began")

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process is not None:
            self._process.terminate()

    def end(self, patience_s: float) -> None:
        """Wait for the process to end, at most so long, then kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.0, patience_s))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


def end_all(children: Iterable[Child], patience_s: float) -> None:
    """Ask all of ``children`` to end, wait together at most so long, and kill who is left."""
    deadline = time.monotonic() + patience_s
    children = list(children)
    for child in children:
        child.terminate()
    for child in children:
        child.end(deadline - time.monotonic())
