"""``--metrics PORT``: the counters of a hub or of a cluster's process for Prometheus, on loopback.

The hub passes on each report once it is made; threads of this server turn the last one into text.
They never touch the hub, and a report is immutable, so a client that connects and does not read, or
sends a thousand requests a second, costs the hub only a little processor time. At most
`_MAX_CLIENTS` are served at a time, the newest ones; a client may be silent for `_TIMEOUT_S`; at
most one connection is accepted in `_ACCEPT_INTERVAL_S`.
"""

import errno
import logging
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from pipeline.errors import EndpointError
from pipeline.kafka.figures import TEXTS, Figures
from pipeline.schema.public import RecordingReport, Status, SystemReport

logger = logging.getLogger(__name__)

PREFIX: Final = "ecg_monitor_"

COUNTERS: Final = {
    "received_samples": "Samples in accepted chunks, duplicates included.",
    "duplicate_samples": "Samples that had been received before.",
    "out_of_order_samples": "Samples that arrived after later ones and were put in order.",
    "gap_samples": "Samples that never arrived.",
    "late_samples": "Samples that arrived too late to fill their gap.",
    "shed_samples": "Samples that sources dropped because the hub did not accept them in time.",
    "unreadable_lines": "Lines or packets of devices that could not be read.",
    "produced_windows": "Beats that needed a score: scored + pending + refused.",
    "scored_windows": "Beats that were scored.",
    "refused_windows": "Beats that were given up without a score.",
    "redelivered_windows": "Beats sent to a scorer again because one did not reply.",
    "rejected_frames": "Frames that could not be decoded, or were not their sender's to send.",
    "uncredited_chunks": "Chunks that came without credit and were not taken.",
    "unsaved_states": "States of streams that did not fit into the log.",
}
"""Fields of a report that only grow, with their HELP text."""

GAUGES: Final = {
    "pending_windows": "Beats that wait for a score.",
    "scorers": "Scorers that reported recently.",
    "uptime_s": "Time since the hub started.",
    "resident_bytes": "Resident memory of the hub.",
}

LOG_GAUGES: Final = {
    "last_seq": "Number of the newest alert in the log.",
    "low_water_seq": "Number of the oldest alert in the log.",
    "bytes": "Size of the log file.",
    "wal_bytes": "Size of the write-ahead log beside it.",
    "writable": "Whether the log can be written.",
}

RECORDING_GAUGES: Final = {
    "streams": "Streams whose whole signal is recorded.",
    "bytes": "Size of the recording.",
    "writable": "Whether the recording can be written.",
}
"""Only where the signal is recorded."""

STATES: Final = ("learning", "normal", "abnormal", "not_analysable", "ended")
"""Of a stream."""

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MAX_CLIENTS: Final = 8
_TIMEOUT_S: Final = 2.0
_ACCEPT_INTERVAL_S: Final = 0.01


def metrics_of(report: SystemReport) -> Iterator[Metric]:
    """Yield the metrics of a report; times in seconds, as is usual for Prometheus."""
    build = {"version": report.version, "commit": report.commit}
    yield InfoMetricFamily(f"{PREFIX}build", "Version and commit of the program.", build)
    made_at = datetime.fromisoformat(report.utc).timestamp()
    yield _gauge("report_timestamp_s", "Unix time of this report.", made_at)
    for name, text in COUNTERS.items():
        yield CounterMetricFamily(PREFIX + name, text, value=getattr(report, name))
    for name, text in GAUGES.items():
        if (value := getattr(report, name)) is not None:
            yield _gauge(name, text, value)
    for name, text in LOG_GAUGES.items():
        yield _gauge(f"log_{name}", text, getattr(report.log, name))
    if report.recording is not None:
        yield from _recording(report.recording)
    streams = GaugeMetricFamily(f"{PREFIX}streams", "Streams in each state.", labels=["state"])
    for state, n in sorted(report.streams.items()):
        streams.add_metric([state], n)
    yield streams
    alerts = CounterMetricFamily(
        f"{PREFIX}alerts", "Alarms that began and are in the log.", labels=["kind"]
    )
    for kind, n in sorted(report.alerts.items()):
        alerts.add_metric([kind], n)
    yield alerts
    latency = HistogramMetricFamily(
        f"{PREFIX}latency_seconds",
        "Latency of scored beats, from R peak to publication, by stage.",
        labels=["stage"],
    )
    for stage, histogram in report.latency_ms.items():
        bounds = [f"{bucket / 1e3:g}" for bucket in report.buckets_ms]
        buckets = [*zip(bounds, histogram.cumulative, strict=True), ("+Inf", histogram.count)]
        latency.add_metric([stage], buckets, sum_value=histogram.sum_ms / 1e3)
    yield latency


def _recording(report: RecordingReport) -> Iterator[Metric]:
    values = {"streams": report.streams, "bytes": report.bytes, "writable": not report.fault}
    for name, text in RECORDING_GAUGES.items():
        yield _gauge(f"recording_{name}", text, values[name])
    yield CounterMetricFamily(
        f"{PREFIX}recording_lost_samples",
        "Samples of each lead that could not be recorded.",
        value=report.lost_samples,
    )


def metrics_of_figures(figures: Figures) -> Iterator[Metric]:
    """Yield the metrics of what a gateway, worker or bridge has counted."""
    for one in figures:
        name = f"cluster_{one.name}"
        if name.endswith("_total"):
            yield CounterMetricFamily(PREFIX + name, TEXTS[one.name], value=one.value)
        else:
            yield _gauge(name, TEXTS[one.name], one.value)


def metrics_of_streams(statuses: Sequence[Status]) -> Iterator[Metric]:
    """Yield heart rate, state and active alarms of each stream, under its name."""
    bpm = GaugeMetricFamily(f"{PREFIX}stream_bpm", "Heart rate of a stream.", labels=["stream"])
    states = GaugeMetricFamily(
        f"{PREFIX}stream_state",
        "1 for the state that a stream is in, 0 for the others.",
        labels=["stream", "state"],
    )
    alarms = GaugeMetricFamily(
        f"{PREFIX}stream_alarms",
        "Active alarms of a stream.",
        labels=["stream", "kind", "priority"],
    )
    for status in statuses:
        if status.bpm is not None:
            bpm.add_metric([status.stream], status.bpm)
        now = "ended" if status.ended else status.state
        for state in STATES:
            states.add_metric([status.stream, state], float(state == now))
        active = Counter((alarm.kind, alarm.priority) for alarm in status.alarms)
        for (kind, priority), n in sorted(active.items()):
            alarms.add_metric([status.stream, kind, priority], n)
    yield bpm
    yield states
    yield alarms


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    unit = f"{name[:-2]}_seconds" if name.endswith("_s") else name
    return GaugeMetricFamily(PREFIX + unit, text, value=float(value))


class _LastReport(Collector):
    """The last report, as the collector of its own registry."""

    def __init__(self) -> None:
        self.reported: tuple[SystemReport | None, Sequence[Status], Figures] = (None, (), ())
        """The report, the statuses of the streams that are served, and what a process of a cluster
        has counted; replaced at once."""
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._text: tuple[object, bytes] = (None, b"")

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the last report."""
        report, statuses, figures = self.reported
        if report is not None:
            yield from metrics_of(report)
        if statuses:
            yield from metrics_of_streams(statuses)
        yield from metrics_of_figures(figures)

    def text(self) -> bytes:
        """Return the metrics as text, which is made once for each report."""
        reported = self.reported
        if self._text[0] is not reported:
            self._text = (reported, generate_latest(self._registry))
        return self._text[1]


class _Handler(BaseHTTPRequestHandler):
    """Serves one client; disconnects one that sends or takes nothing for ``timeout`` seconds."""

    timeout = _TIMEOUT_S
    server: "_Server"

    def do_GET(self) -> None:
        """Serve ``/metrics``."""
        known = self.path.partition("?")[0] in ("/", "/metrics")
        body = self.server.last.text() if known else b"ask for /metrics\n"
        self.send_response(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", _CONTENT_TYPE if known else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return the server's name for responses, without the version of Python."""
        return "ecg-monitor"

    def log_message(self, format: str, *args: Any) -> None:
        """Keep requests out of the log."""


class _Server(ThreadingTCPServer):
    """A thread for each client, and a limited number of clients."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port: int, listener: int | None) -> None:
        self.last = _LastReport()
        self._clients: list[socket.socket] = []
        self._lock = threading.Lock()
        self._pause = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler, bind_and_activate=listener is None)
        if listener is not None:
            self.socket.close()
            self.socket = socket.socket(fileno=os.dup(listener))
            self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client; disconnect the oldest one where there are too many."""
        with self._lock:
            while len(self._clients) >= _MAX_CLIENTS:
                _disconnect(self._clients.pop(0))
            self._clients.append(request)
        super().process_request(request, client_address)
        self._pause.wait(_ACCEPT_INTERVAL_S)

    def shutdown_request(self, request: Any) -> None:
        """Remove a client that was served."""
        with self._lock:
            if request in self._clients:
                self._clients.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log that a client disconnected during its request."""
        logger.debug("a client of the metrics failed: %r", sys.exception())


def _disconnect(client: socket.socket) -> None:
    """Shut a connection down, which ends the thread of its client."""
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("a client of the metrics had disconnected already")


class MetricsServer:
    """Serves the metrics of the last report; a context manager."""

    def __init__(self, port: int, listener: int | None = None, *, streams: bool = False) -> None:
        """Listen on loopback; port 0 lets the kernel choose.

        ``listener`` is a descriptor that listens there already, which stays open. ``streams`` adds
        metrics of each stream, with its name.

        Raises:
            EndpointError: the port cannot be used.
        """
        try:
            self._server = _Server(port, listener)
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"fails: {error.strerror}"
            raise EndpointError(
                f"port {port} for the metrics {why}; choose another with --metrics"
            ) from None
        self._streams = streams
        self.url: str = f"http://127.0.0.1:{self._server.server_address[1]}/metrics"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
        )
        self._thread.start()

    def update(
        self, report: SystemReport, statuses: Callable[[], Sequence[Status]] = tuple
    ) -> None:
        """Serve this report of a hub, and the statuses of its streams, from now on."""
        self._server.last.reported = (report, statuses() if self._streams else (), ())

    def update_figures(self, report: SystemReport | None, figures: Figures) -> None:
        """Serve what a process of a cluster has counted from now on, and a bridge's report."""
        self._server.last.reported = (report, (), figures)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
