"""The processes of a run, each started again when it dies: hub, scorer, source, dashboard.

A thread checks them several times a second, whatever the rest of the program does. A process that
dies is started again, at first after 0.1 s, then after twice as long each time up to 5 s, until one
has run steadily for 10 s. Every death is reported to the hub, which raises a technical alarm; the
death of a hub is reported to its successor. A hub is started again at the same addresses and on the
same log. A process that is killed before it is ready is started again as well, a few times.

Not everything is started again. A process that refuses its configuration at its first start (exit
code 2, the reason already on stderr) ends the run. A source that ends with 0 is finished. One that
ends with 2 has failed finally, as with a device that was unplugged; what it sent is still scored
and published.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, Self

from monitor.inputs import MetricsOptions
from monitor.run.addresses import Ports, listeners_argument
from monitor.run.deaths import DeathReporter
from monitor.run.events import HubReady, SourceReady
from monitor.run.processes import SUPERVISOR, Child, Refused, end_all
from monitor.run.recording import Recording
from monitor.run.run_end import RunEnd
from monitor.run.supervised import Supervised
from pipeline.alarms.system import cause_of_death
from replay.devices.addresses import STANDARD_INPUT

logger = logging.getLogger(__name__)

_CHECK_S: Final = 0.05
_STOP_S: Final = 5.0
_FAILED_SOURCE_S: Final = 5.0
"""Time to score and publish what a source sent before it failed."""


class System:
    """The processes of a run: hub and scorer, a source and a dashboard once they are started."""

    def __init__(
        self,
        *,
        port: int,
        log: Path,
        false_alerts_per_hour: float | None = None,
        alarms: Path | None = None,
        metrics: MetricsOptions | None = None,
        max_streams: int | None = None,
        recording: Recording | None = None,
        on_note: Callable[[str], None],
        stderr: IO[bytes] | None = None,
    ) -> None:
        """Start hub and scorer; returns when the hub is ready.

        Args:
            port: of the alerts; replay and control are one and two above. 0 lets the kernel choose.
            log: the alert log.
            false_alerts_per_hour: of the live score; None for that of the calibration.
            alarms: file of alarm settings; None for the defaults.
            metrics: what the hub serves to Prometheus; None for nothing.
            max_streams: that the hub takes at a time; None for as many as usual.
            recording: of the whole signal; None for none.
            on_note: takes notes for a person while the hub starts.
            stderr: receives the stderr of the children; None for that of this process.

        Raises:
            Refused: the hub did not start; the reason is on stderr.
            ConfigError: there is no such port.
            EndpointError: a port is in use.
        """
        self._ports = Ports(port, None if metrics is None else metrics.port)
        self._run_end = RunEnd()
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
        if metrics is not None:
            arguments += ["--metrics", str(metrics.port)]
            arguments += ["--metrics-streams"] * metrics.streams
        if max_streams is not None:
            arguments += ["--max-streams", str(max_streams)]
        if recording is not None:
            arguments += recording.arguments()
        inherited = self._ports.descriptors
        arguments += ["--listeners", listeners_argument(inherited)]
        arguments += ["--run-end", str(self._run_end.descriptor)]
        inherits = [*inherited.values(), self._run_end.descriptor]
        try:
            child = Child(
                arguments, stderr, inherits=inherits, environment={SUPERVISOR: self._token}
            )
            hub = Supervised("hub", child)
            self._all.append(hub)
            ready = hub.start_until_ready(HubReady, on_note, "--no-resume")
            self.last_seq = ready.last_seq
            if ready.metrics is not None:
                on_note(f"metrics at {ready.metrics}")
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
        piped = any(word.partition("?")[0] in STANDARD_INPUT for word in arguments)
        child = Child(words, self._stderr, reads_input=piped)
        source = Supervised("source", child, finishes=True, restart_arguments=["--resume"])
        try:
            streams = source.start_until_ready(SourceReady, lambda text: None).streams
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
        """Ask the source to end, whose silence is no alarm; no dashboard is started again."""
        self._run_end.announce()
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
            self._run_end.announce()
            if "source" in children:
                end_all([children.pop("source")], timeout_s)
            end_all(children.values(), deadline - time.monotonic())
        finally:
            end_all((process.child for process in self._all), 0.0)
            self._ports.close()
            self._run_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
