"""The processes of a run, each started again when it dies: hub, scorer, source, dashboard.

A thread checks them several times a second, whatever the rest of the program does. A process that
dies is started again, at first after 0.1 s, then after twice as long each time up to 5 s, until one
has run steadily for 10 s. Every death is reported to the hub, which raises a technical alarm; the
death of a hub is reported to its successor. A hub is started again at the same addresses and on the
same log.

Not everything is started again. A process that refuses its configuration at its first start (exit
code 2, the reason already on stderr) ends the run. A source that ends with 0 is finished. One that
ends with 2 has failed for good, as with a device that was unplugged; what it sent is still scored
and published.
"""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, Literal, Self
from urllib.parse import urlsplit

from monitor.run.addresses import Ports
from monitor.run.events import HubReady, SourceReady
from monitor.run.processes import SUPERVISOR, Child, Refused, end_all
from pipeline.alarms.kinds import STEADY_S
from pipeline.alarms.system import cause_of_death
from pipeline.errors import WireError
from pipeline.schema.public import encode_json
from pipeline.schema.requests import Died, decode_control_reply
from pipeline.transport.sockets import Dealer

logger = logging.getLogger(__name__)

FIRST_BACK_OFF_S: Final = 0.1
LONGEST_BACK_OFF_S: Final = 5.0

_CHECK_S: Final = 0.05
_STOP_S: Final = 5.0
_FAILED_SOURCE_S: Final = 5.0
"""Time to score and publish what a source sent before it failed."""

_REPLY_S: Final = 2.0
"""A report without a reply for so long is sent again."""

_MAX_REPORTS: Final = 1_000


class Supervised:
    """A process with the rules for starting it again; the time is an argument."""

    def __init__(
        self,
        name: Literal["hub", "scorer", "source", "dashboard"],
        child: Child,
        *,
        finishes: bool = False,
        restart_arguments: Sequence[str] = (),
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `start` starts the process.

        Args:
            name: as in reports of its death.
            child: the process.
            finishes: whether exit code 0 means that its work is done, and 2 that it failed for
                good.
            restart_arguments: further arguments when it is started again.
            on_death: called when it has died.
        """
        self.name = name
        self.child = child
        self.restarts = 0
        self.finished = False
        """Whether it is not to be started again."""
        self._finishes = finishes
        self.restart_arguments = restart_arguments
        self.on_death = on_death
        self._started_at = 0.0
        self._deaths = 0
        """In a row, without a steady run between."""
        self._restart_at: float | None = None

    def start(self, now: float, *further: str) -> None:
        """Start the process for the first time, with ``further`` arguments."""
        self.child.start(*further)
        self._started_at = now

    def check(self, now: float) -> Died | None:
        """Start the process again if that is due; return its death if it has just died.

        Raises:
            Refused: it refused its configuration.
        """
        if self.finished:
            return None
        if self._restart_at is not None:
            if now >= self._restart_at:
                self._restart(now)
            return None
        code = self.child.exit_code()
        if code is None:
            return None
        if self._finishes and code in (0, 2):
            self.finished = True
            return None
        if code == 2 and not self.restarts:
            raise Refused(2)
        self.on_death()
        self._back_off(now)
        return Died(process=self.name, code=max(code, -255), times=self._deaths)

    def _restart(self, now: float) -> None:
        self._restart_at = None
        self._started_at = now
        try:
            self.child.start(*self.restart_arguments)
        except OSError as error:
            logger.warning("%s cannot be started: %s", self.name, error)
            self._back_off(now)
        else:
            self.restarts += 1

    def _back_off(self, now: float) -> None:
        if now - self._started_at > STEADY_S:
            self._deaths = 0
        self._restart_at = now + min(FIRST_BACK_OFF_S * 2.0**self._deaths, LONGEST_BACK_OFF_S)
        self._deaths += 1


class DeathReporter:
    """Reports deaths to the hub in order, each until the hub has replied. One thread."""

    def __init__(self, control: str, clock: Callable[[], float], token: str = "") -> None:
        """Connect to the hub's control socket; ``token`` is the secret that it was started with."""
        self._token = token
        self._hub = Dealer(connect=control)
        self._clock = clock
        self.unreported: deque[Died] = deque(maxlen=_MAX_REPORTS)
        """Deaths without a reply from the hub, oldest first."""
        self._sent_at = float("-inf")

    def add(self, died: Died) -> None:
        """Queue a death; `update` sends it."""
        self.unreported.append(died)

    def update(self) -> None:
        """Take replies and send what is due, without waiting."""
        for frame in self._hub.receive():
            try:
                decode_control_reply(frame)
            except WireError:
                continue
            if self.unreported and self._sent_at > float("-inf"):
                self.unreported.popleft()
            self._sent_at = float("-inf")
        now = self._clock()
        if not self.unreported or now - self._sent_at <= _REPLY_S:
            return
        died = self.unreported[0]
        report = Died(process=died.process, code=died.code, times=died.times, token=self._token)
        if self._hub.send(encode_json(report)):
            self._sent_at = now

    def close(self) -> None:
        """Close the connection."""
        self._hub.close(linger_ms=0)


class System:
    """The processes of a run: hub and scorer, a source and a dashboard once they are started."""

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
            on_note: takes notes for a person while the hub starts.
            stderr: receives the stderr of the children; None for that of this process.

        Raises:
            Refused: the hub did not start; the reason is on stderr.
            ConfigError: there is no such port.
            EndpointError: a port is in use.
        """
        self._ports = Ports(port)
        self.endpoints = self._ports.endpoints
        self._stderr = stderr
        self._all: list[Supervised] = []
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._token = secrets.token_hex(16)
        """By which the hub knows its supervisor."""
        self._dashboard_stopped = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        arguments = ["hub", "--port", str(self._ports.port), "--log", str(log)]
        arguments += ["--ingest", self.endpoints["ingest"], "--work", self.endpoints["work"]]
        if false_alerts_per_hour is not None:
            arguments += ["--false-alerts-per-hour", str(false_alerts_per_hour)]
        if alarms is not None:
            arguments += ["--alarms", str(alarms)]
        metrics_arguments = [] if metrics is None else ["--metrics", str(metrics)]
        try:
            hub = Supervised("hub", Child(arguments, stderr, environment={SUPERVISOR: self._token}))
            self._add(hub, "--no-resume", *metrics_arguments)
            ready = hub.child.wait_ready(HubReady, on_note)
            self.last_seq = ready.last_seq
            if ready.metrics is not None:
                on_note(f"metrics at {ready.metrics}")
                # The port that the kernel chose for the first hub serves the next ones as well.
                hub.restart_arguments = ["--metrics", str(urlsplit(ready.metrics).port)]
            work = ["score", "--work", self.endpoints["work"]]
            self._add(Supervised("scorer", Child(work, stderr)))
            self._thread.start()
        except BaseException:
            self.close()
            raise

    def _add(self, process: Supervised, *further: str) -> None:
        """Start a process and supervise it from now on."""
        with self._lock:
            process.start(time.monotonic(), *further)
            self._all.append(process)

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

    def start_source(self, arguments: Sequence[str]) -> list[str]:
        """Start the source with the arguments of ``monitor source``; return its streams.

        Raises:
            Refused: the source did not start; the reason is on stderr.
        """
        words = ["source", *arguments, "--ingest", self.endpoints["ingest"]]
        child = Child(words, self._stderr)
        source = Supervised("source", child, finishes=True, restart_arguments=["--resume"])
        source.start(time.monotonic())
        try:
            streams = source.child.wait_ready(SourceReady, lambda text: None).streams
        finally:
            with self._lock:
                self._all.append(source)
        return streams

    def start_dashboard(self, arguments: Sequence[str], restore: Callable[[], None]) -> None:
        """Start a dashboard on this terminal.

        Args:
            arguments: of ``monitor watch``.
            restore: restores the terminal after a dashboard that died without doing so.
        """
        words = ["watch", "--endpoint", self.endpoints["alerts"], *arguments]
        child = Child(words, self._stderr, on_terminal=True)
        self._add(Supervised("dashboard", child, on_death=restore))

    def stop_dashboard(self, timeout_s: float) -> None:
        """End the dashboard, if there is one; afterwards the terminal is as it was before."""
        dashboard = self._named("dashboard")
        if dashboard is None or self._dashboard_stopped:
            return
        self._dashboard_stopped = True
        with self._lock:
            dashboard.finished = True
        end_all([dashboard.child], timeout_s)
        if dashboard.child.exit_code() != 0:
            dashboard.on_death()

    def stop_source(self) -> None:
        """Ask the source to end; neither it nor a dashboard is started again."""
        source, dashboard = self._named("source"), self._named("dashboard")
        with self._lock:
            for process in (source, dashboard):
                if process is not None:
                    process.finished = True
        if source is not None:
            source.child.terminate()

    @property
    def source_ended(self) -> bool:
        """Whether the source has ended and will not be started again."""
        source = self._named("source")
        return source is None or (source.finished and source.child.exit_code() is not None)

    def check(self) -> None:
        """Raise what went wrong in the supervisor's thread; call several times a second.

        Raises:
            Refused: a process refused its configuration, with the reason on stderr, or the source
                failed. In that case it is raised after `_FAILED_SOURCE_S`, so that what the source
                sent is still published.
        """
        if self._failure is not None:
            raise self._failure

    def check_source(self) -> None:
        """Raise `Refused` if the source ended with a failure."""
        source = self._named("source")
        if source is not None and source.child.exit_code() == 2:
            raise Refused(2)

    def _supervise(self) -> None:
        """Check all processes until `close`; runs in the supervisor's thread."""
        reporter = DeathReporter(self.endpoints["control"], time.monotonic, self._token)
        failed_at: float | None = None
        try:
            while not self._closing.wait(_CHECK_S):
                now = time.monotonic()
                for process in self._all:
                    with self._lock:
                        died = process.check(now)
                    if died is not None:
                        cause = cause_of_death(died.code)
                        logger.warning("%s %s, is started again", died.process, cause)
                        reporter.add(died)
                reporter.update()
                if failed_at is None and self._source_failed():
                    failed_at = now
                if failed_at is not None and now - failed_at > _FAILED_SOURCE_S:
                    raise Refused(2)
        except Exception as error:
            # An exception would end this thread unnoticed: `check` raises it.
            self._failure = error
        finally:
            reporter.close()

    def _source_failed(self) -> bool:
        try:
            self.check_source()
        except Refused:
            return True
        return False

    def close(self, timeout_s: float = _STOP_S) -> None:
        """End the children, the source first; kill those still running after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        children = {process.name: process.child for process in self._all}
        try:
            self._closing.set()
            with self._lock:
                for process in self._all:
                    process.finished = True
            if self._thread.ident is not None:
                self._thread.join()
            self.stop_dashboard(timeout_s)
            if "source" in children:
                end_all([children.pop("source")], timeout_s)
            end_all(children.values(), deadline - time.monotonic())
        finally:
            end_all((process.child for process in self._all), 0.0)
            self._ports.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
