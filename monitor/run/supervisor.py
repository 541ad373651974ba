"""The processes of a run, each started again when it dies: hub, scorer, source, dashboard.

A thread looks after them several times a second, whatever the rest of the program is busy with. A
process that dies is started again, at first after 0.1 s, then after twice as long each time up to
5 s, until one has run steadily for 10 s. Every death is reported to the hub, which makes a
technical alarm of it; a hub that died is told of its own death when it is back. It comes back at
the same addresses and on the same log.

Not everything is started again. A process that refuses its configuration (exit code 2, its reason
already on stderr) in its first life ends the run. A source that ends with 0 is finished; one that
ends with 2 has failed for good, a device that was pulled out: what it sent is still told.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, Literal, Self
from urllib.parse import urlsplit

from monitor.run.addresses import Ports
from monitor.run.processes import Child, Refused, end_all
from pipeline.alarms.kinds import STEADY_S
from pipeline.alarms.system import cause_of_death
from pipeline.errors import WireError
from pipeline.schema.public import encode_json
from pipeline.schema.requests import Died, decode_control_reply
from pipeline.transport.sockets import Dealer

logger = logging.getLogger(__name__)

FIRST_BACK_OFF_S: Final = 0.1
LONGEST_BACK_OFF_S: Final = 5.0

_LOOK_S: Final = 0.05
_STOP_S: Final = 5.0
_LAST_WORDS_S: Final = 5.0
"""What a source sent before it failed is told within this time."""

_ANSWER_S: Final = 2.0
"""A report that is not answered for so long is sent again."""

_MOST_REPORTS: Final = 1_000


class Supervised:
    """A process with the rules by which it is started again. Knows no clock: ``now`` is passed."""

    def __init__(
        self,
        name: Literal["hub", "scorer", "source", "dashboard"],
        child: Child,
        *,
        finishes: bool = False,
        again: Sequence[str] = (),
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            name: for people.
            child: the process.
            finishes: whether an exit code of 0 means that its work is done, and 2 that it failed
                for good.
            again: further arguments when it is started again.
            on_death: called when it has died.
        """
        self.name = name
        self.child = child
        self.restarts = 0
        self.over = False
        """Not to be started again."""
        self._finishes = finishes
        self.again = again
        """Further arguments of the next start."""
        self.on_death = on_death
        self._began = 0.0
        self._in_a_row = 0
        self._again_at: float | None = None

    def start(self, now: float, *further: str) -> None:
        """Start the process for the first time, with ``further`` arguments."""
        self.child.start(*further)
        self._began = now

    def look(self, now: float) -> Died | None:
        """Start the process again if that is due; return its death if it has just died.

        Raises:
            Refused: it refused its configuration.
        """
        if self.over:
            return None
        if self._again_at is not None:
            if now >= self._again_at:
                self._start_again(now)
            return None
        code = self.child.exit_code()
        if code is None:
            return None
        if self._finishes and code in (0, 2):
            self.over = True
            return None
        if code == 2 and not self.restarts:
            raise Refused(2)
        self.on_death()
        self._back_off(now)
        return Died(process=self.name, code=max(code, -255), times=self._in_a_row)

    def _start_again(self, now: float) -> None:
        self._again_at = None
        self._began = now
        try:
            self.child.start(*self.again)
        except OSError as error:
            logger.warning("%s cannot be started: %s", self.name, error)
            self._back_off(now)
        else:
            self.restarts += 1

    def _back_off(self, now: float) -> None:
        if now - self._began > STEADY_S:
            self._in_a_row = 0
        self._again_at = now + min(FIRST_BACK_OFF_S * 2.0**self._in_a_row, LONGEST_BACK_OFF_S)
        self._in_a_row += 1


class Reporter:
    """Tells the hub of deaths, each until it has heard of it. One thread."""

    def __init__(self, control: str, clock: Callable[[], float]) -> None:
        self._hub = Dealer(connect=control)
        self._clock = clock
        self.waiting: deque[Died] = deque(maxlen=_MOST_REPORTS)
        """Deaths that the hub has not heard of, the first first."""
        self._sent_at = float("-inf")

    def add(self, died: Died) -> None:
        """Report a death when the hub is there."""
        self.waiting.append(died)

    def turn(self) -> None:
        """Take answers and send what is due; waits for nothing."""
        for frame in self._hub.receive():
            try:
                decode_control_reply(frame)
            except WireError:
                continue
            if self.waiting and self._sent_at > float("-inf"):
                self.waiting.popleft()
            self._sent_at = float("-inf")
        now = self._clock()
        due = bool(self.waiting) and now - self._sent_at > _ANSWER_S
        if due and self._hub.send(encode_json(self.waiting[0])):
            self._sent_at = now

    def close(self) -> None:
        """Close the connection."""
        self._hub.close(linger_ms=0)


class System:
    """Hub and scorer, a source once `feed` was called, a dashboard after `show`."""

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
            ConfigError: there is no such port.
            EndpointError: a port is in use.
        """
        self._ports = Ports(port)
        self.endpoints = self._ports.endpoints
        self._stderr = stderr
        self._all: list[Supervised] = []
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._hidden = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="supervisor", daemon=True)
        arguments = ["hub", "--port", str(self._ports.port), "--log", str(log)]
        arguments += ["--ingest", self.endpoints["ingest"], "--work", self.endpoints["work"]]
        if false_alerts_per_hour is not None:
            arguments += ["--false-alerts-per-hour", str(false_alerts_per_hour)]
        if alarms is not None:
            arguments += ["--alarms", str(alarms)]
        measured = [] if metrics is None else ["--metrics", str(metrics)]
        try:
            hub = self._add(Supervised("hub", Child(arguments, stderr)), "--no-resume", *measured)
            ready = hub.child.wait_ready(on_note)
            self.last_seq: int = ready["last_seq"]
            if metrics is not None:
                on_note(f"metrics at {ready['metrics']}")
                hub.again = ["--metrics", str(urlsplit(ready["metrics"]).port)]
            work = ["score", "--work", self.endpoints["work"]]
            self._add(Supervised("scorer", Child(work, stderr)))
            self._thread.start()
        except BaseException:
            self.close()
            raise

    def _add(self, process: Supervised, *further: str) -> Supervised:
        """Start a process and look after it from now on."""
        with self._lock:
            process.start(time.monotonic(), *further)
            self._all.append(process)
        return process

    def _named(self, name: str) -> Supervised | None:
        return next((process for process in self._all if process.name == name), None)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children by name."""
        return {process.name: process.child.pid for process in self._all}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again, by name."""
        return {process.name: process.restarts for process in self._all if process.restarts}

    def feed(self, arguments: Sequence[str]) -> list[str]:
        """Start the source with the arguments of ``monitor source``; return its streams.

        Raises:
            Refused: the source did not start; it said why on stderr.
        """
        words = ["source", *arguments, "--ingest", self.endpoints["ingest"]]
        child = Child(words, self._stderr)
        source = Supervised("source", child, finishes=True, again=["--resume"])
        source.start(time.monotonic())
        try:
            streams: list[str] = source.child.wait_ready(lambda text: None)["streams"]
        finally:
            with self._lock:
                self._all.append(source)
        return streams

    def show(self, arguments: Sequence[str], give_back: Callable[[], None]) -> None:
        """Start a dashboard on this terminal.

        Args:
            arguments: of ``monitor watch``.
            give_back: makes the terminal what it was, where a dashboard died and did not.
        """
        words = ["watch", "--endpoint", self.endpoints["alerts"], *arguments]
        child = Child(words, self._stderr, on_terminal=True)
        self._add(Supervised("dashboard", child, on_death=give_back))

    def hide(self, patience_s: float) -> None:
        """End the dashboard, if there is one; afterwards the terminal is as it was."""
        dashboard = self._named("dashboard")
        if dashboard is None or self._hidden:
            return
        self._hidden = True
        with self._lock:
            dashboard.over = True
        end_all([dashboard.child], patience_s)
        if dashboard.child.exit_code() != 0:
            dashboard.on_death()

    def stop_source(self) -> None:
        """Ask the source to end; neither it nor a dashboard is started again."""
        source, dashboard = self._named("source"), self._named("dashboard")
        with self._lock:
            for process in (source, dashboard):
                if process is not None:
                    process.over = True
        if source is not None:
            source.child.terminate()

    @property
    def source_gone(self) -> bool:
        """Whether no samples can come any more."""
        source = self._named("source")
        return source is None or (source.over and source.child.exit_code() is not None)

    def check(self) -> None:
        """Ask how it goes; call several times a second.

        Raises:
            Refused: a process refused its configuration, with its reason on stderr. A source that
                failed on its way does so only after `_LAST_WORDS_S`: what it sent is still told.
        """
        if self._failure is not None:
            raise self._failure

    def check_source(self) -> None:
        """Raise `Refused` if the source ended with a failure."""
        source = self._named("source")
        if source is not None and source.child.exit_code() == 2:
            raise Refused(2)

    def _look_after(self) -> None:
        """Look after everything until told to close; the supervisor's thread."""
        reporter = Reporter(self.endpoints["control"], time.monotonic)
        failed_at: float | None = None
        try:
            while not self._closing.wait(_LOOK_S):
                now = time.monotonic()
                for process in self._all:
                    with self._lock:
                        died = process.look(now)
                    if died is not None:
                        cause = cause_of_death(died.code)
                        logger.warning("%s %s, is started again", died.process, cause)
                        reporter.add(died)
                reporter.turn()
                if failed_at is None and self._source_failed():
                    failed_at = now
                if failed_at is not None and now - failed_at > _LAST_WORDS_S:
                    raise Refused(2)
        except Exception as error:
            # Of this thread nobody would hear: `check` raises it.
            self._failure = error
        finally:
            reporter.close()

    def _source_failed(self) -> bool:
        try:
            self.check_source()
        except Refused:
            return True
        return False

    def close(self, patience_s: float = _STOP_S) -> None:
        """End the children, the source first; kill who has not ended after ``patience_s``."""
        deadline = time.monotonic() + patience_s
        children = {process.name: process.child for process in self._all}
        try:
            self._closing.set()
            with self._lock:
                for process in self._all:
                    process.over = True
            if self._thread.ident is not None:
                self._thread.join()
            self.hide(patience_s)
            if "source" in children:
                end_all([children.pop("source")], patience_s)
            end_all(children.values(), deadline - time.monotonic())
        finally:
            end_all((process.child for process in self._all), 0.0)
            self._ports.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
