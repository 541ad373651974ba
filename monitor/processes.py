"""The processes behind `monitor replay` and `monitor live`: hub, scorer, source.

Each stage is the `monitor` command itself, started as a child that prints one JSON line on
stdout when it is ready. A scorer that dies is started again; a child that refuses its
configuration (exit code 2, its reason already on stderr) ends the whole. Children leave when
their parent is gone, however it went.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final, Self

from pipeline.errors import MonitorError

_READY_TIMEOUT_S: Final = 180.0
"""The hub may have to compile its kernels first."""

_STOP_TIMEOUT_S: Final = 5.0
_LAST_WORDS_S: Final = 5.0
_FIRST_BACK_OFF_S: Final = 0.1
_LONGEST_BACK_OFF_S: Final = 5.0
_STEADY_S: Final = 10.0
"""A scorer that ran for this long starts again without having to wait for earlier deaths."""


class Refused(Exception):  # noqa: N818  (a way to leave, not a fault of ours)
    """A child refused to work and said why on stderr; carries its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ChildDiedError(MonitorError):
    """A process that cannot be replaced has died."""


def stop_when_orphaned(parent: int | None) -> Callable[[], bool]:
    """Return what a stage asks to know whether to stop: SIGTERM came, or ``parent`` is gone."""
    stopped = False

    def on_signal(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, on_signal)
    return lambda: stopped or (parent is not None and os.getppid() != parent)


class Child:
    """One stage as a process."""

    def __init__(self, arguments: Sequence[str], stderr: IO[bytes] | None) -> None:
        self._arguments = [
            sys.executable,
            "-m",
            "monitor",
            *arguments,
            "--parent",
            str(os.getpid()),
        ]
        self._stderr = stderr
        self.start()

    def start(self) -> None:
        """Start the process, again if need be."""
        # In a session of its own: Ctrl-C in the terminal is for the parent to act on.
        self._process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._process.poll()

    def wait_ready(self, on_note: Callable[[str], None]) -> dict[str, Any]:
        """Return the ready line; notes on the way there go to ``on_note``.

        Raises:
            Refused: the process ended instead.
        """
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
                    raise Refused(self._process.wait() or 1)
                buffered += piece
                *lines, buffered = buffered.split(b"\n")
                for line in lines:
                    event: dict[str, Any] = json.loads(line)
                    if event["event"] == "ready":
                        return event
                    on_note(event["text"])
        raise ChildDiedError(f"no answer within {_READY_TIMEOUT_S:g} s from: {self._arguments[3]}")

    def stop(self) -> None:
        """Ask the process to end, and end it after five seconds."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class System:
    """Hub and scorer, and a source once `feed` was called; a context manager."""

    def __init__(
        self,
        *,
        port: int,
        log: Path,
        false_alerts_per_hour: float | None = None,
        alarms: Path | None = None,
        metrics: int | None = None,
        on_note: Callable[[str], None],
        stderr: IO[bytes] | None = None,
    ) -> None:
        """Start hub and scorer; returns when the hub is ready.

        Args:
            port: of the alerts; replay and control are one and two above. 0 lets the kernel choose.
            log: the alert log.
            false_alerts_per_hour: of the live score; None for that of the calibration.
            alarms: file of alarm settings; None for the defaults.
            metrics: port of the hub's metrics; None for none.
            on_note: takes what a person should know meanwhile.
            stderr: where the children's stderr goes; None for this process's own.

        Raises:
            Refused: the hub did not start; it said why on stderr.
        """
        self._stderr = stderr
        self._source: Child | None = None
        self._source_failed_at: float | None = None
        self._scorer: Child | None = None
        self._scorer_back_off_s = _FIRST_BACK_OFF_S
        self._scorer_again_at: float | None = None
        self._scorer_started_at = time.monotonic()
        self.scorer_restarts = 0
        arguments = ["hub", "--port", str(port), "--log", str(log), "--no-resume"]
        if false_alerts_per_hour is not None:
            arguments += ["--false-alerts-per-hour", str(false_alerts_per_hour)]
        if alarms is not None:
            arguments += ["--alarms", str(alarms)]
        if metrics is not None:
            arguments += ["--metrics", str(metrics)]
        self._hub = Child(arguments, stderr)
        try:
            ready = self._hub.wait_ready(on_note)
            self.endpoints: dict[str, str] = ready["endpoints"]
            self.last_seq: int = ready["last_seq"]
            if metrics is not None:
                on_note(f"metrics at {ready['metrics']}")
            self._scorer = Child(["score", "--work", self.endpoints["work"]], stderr)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Process ids of the children."""
        children = (self._hub, self._scorer, self._source)
        return [child.pid for child in children if child is not None]

    def feed(self, arguments: Sequence[str]) -> list[str]:
        """Start the source with the arguments of ``monitor source``; return its streams.

        Raises:
            Refused: the source did not start; it said why on stderr.
        """
        self._source = Child(
            ["source", *arguments, "--ingest", self.endpoints["ingest"]], self._stderr
        )
        streams: list[str] = self._source.wait_ready(lambda text: None)["streams"]
        return streams

    def check(self) -> None:
        """Look after the children; call several times a second.

        Raises:
            Refused: a child refused its configuration, with its reason on stderr. A source that
                failed on its way does so only after `_LAST_WORDS_S`: what it sent is still told.
            ChildDiedError: hub or source died of something else.
        """
        self._check_for_good("hub", self._hub.exit_code())
        if self._source is not None and (code := self._source.exit_code()) != 0:
            if code == 2 and self._source_failed_at is None:
                self._source_failed_at = time.monotonic()
            if code != 2 or time.monotonic() - (self._source_failed_at or 0.0) > _LAST_WORDS_S:
                self._check_for_good("source", code)
        self._check_scorer()

    def _check_for_good(self, name: str, code: int | None) -> None:
        if code == 2:
            raise Refused(2)
        if code is not None:
            raise ChildDiedError(f"the {name} process died (exit code {code}); start again")

    def check_source(self) -> None:
        """Raise `Refused` if the source ended with a failure."""
        if self._source is not None and self._source.exit_code() == 2:
            raise Refused(2)

    def _check_scorer(self) -> None:
        assert self._scorer is not None
        code = self._scorer.exit_code()
        if code is None:
            return
        if code == 2:
            raise Refused(2)
        now = time.monotonic()
        if self._scorer_again_at is None:
            if now - self._scorer_started_at > _STEADY_S:
                self._scorer_back_off_s = _FIRST_BACK_OFF_S
            self._scorer_again_at = now + self._scorer_back_off_s
            self._scorer_back_off_s = min(2 * self._scorer_back_off_s, _LONGEST_BACK_OFF_S)
        elif now >= self._scorer_again_at:
            self._scorer_again_at = None
            self._scorer.stop()
            self._scorer.start()
            self._scorer_started_at = now
            self.scorer_restarts += 1

    def close(self) -> None:
        """End the children, the source first."""
        for child in (self._source, self._scorer, self._hub):
            if child is not None:
                child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
