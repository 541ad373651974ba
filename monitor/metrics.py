"""``--metrics PORT``: what the hub counts, for Prometheus, on loopback.

The hub hands over each report once it is made; threads of this server turn the last one into text.
They never touch the hub, and a report never changes, so a client that connects and does not read,
or asks a thousand times a second, costs the hub nothing but a little of its processor: at most
`_MOST_CLIENTS` are served at a time, the newest of them, each for at most `_PATIENCE_S` of
silence, and no more than one in `_PACE_S` is let in.
"""

import errno
import logging
import socket
import sys
import threading
from collections.abc import Iterator
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
from pipeline.schema.public import SystemReport

logger = logging.getLogger(__name__)

PREFIX: Final = "ecg_monitor_"

COUNTERS: Final = {
    "received_samples": "Samples in chunks that were taken, repeats included.",
    "duplicate_samples": "Samples that had come before.",
    "out_of_order_samples": "Samples that came after later ones, and were put in their place.",
    "gap_samples": "Samples that never came.",
    "late_samples": "Samples that came when the hole they belong in had been given up.",
    "shed_samples": "Samples that sources had to drop: the monitor had no room.",
    "produced_windows": "Beats that wanted a score: scored + pending + refused.",
    "scored_windows": "Beats that have a score.",
    "refused_windows": "Beats that were given up without a score.",
    "redelivered_windows": "Beats handed out again because a scorer did not answer.",
    "rejected_frames": "Messages that were none.",
}
"""Of a report, those that only ever grow."""

GAUGES: Final = {
    "pending_windows": "Beats that wait for a score.",
    "scorers": "Scorers that were heard of lately.",
    "uptime_s": "Time since the hub began.",
    "resident_bytes": "Memory that the hub holds.",
}

LOG_GAUGES: Final = {
    "last_seq": "Number of the newest alert in the log.",
    "low_water_seq": "Number of the oldest alert that the log still holds.",
    "bytes": "Size of the log's file.",
    "wal_bytes": "Size of the write-ahead log beside it.",
    "writable": "Whether the log takes what is to be written.",
}

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST_CLIENTS: Final = 8
_PATIENCE_S: Final = 2.0
_PACE_S: Final = 0.01


def metrics_of(report: SystemReport) -> Iterator[Metric]:
    """Yield what Prometheus is told of a report; times in seconds, as it wants them."""
    build = {"version": report.version, "commit": report.commit}
    yield InfoMetricFamily(f"{PREFIX}build", "The program.", build)
    made_at = datetime.fromisoformat(report.utc).timestamp()
    yield _gauge("report_timestamp_s", "When the hub said all this, since 1970.", made_at)
    for name, text in COUNTERS.items():
        yield CounterMetricFamily(PREFIX + name, text, value=getattr(report, name))
    for name, text in GAUGES.items():
        if (value := getattr(report, name)) is not None:
            yield _gauge(name, text, value)
    for name, text in LOG_GAUGES.items():
        yield _gauge(f"log_{name}", text, getattr(report.log, name))
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
        "Where the time of a beat went, from its R peak to its publication.",
        labels=["stage"],
    )
    for stage, histogram in report.latency_ms.items():
        bounds = [f"{bucket / 1e3:g}" for bucket in report.buckets_ms]
        buckets = [*zip(bounds, histogram.cumulative, strict=True), ("+Inf", histogram.count)]
        latency.add_metric([stage], buckets, sum_value=histogram.sum_ms / 1e3)
    yield latency


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    unit = f"{name[:-2]}_seconds" if name.endswith("_s") else name
    return GaugeMetricFamily(PREFIX + unit, text, value=float(value))


class _LastReport(Collector):
    """The report that came last, as the collector of a registry of its own."""

    def __init__(self) -> None:
        self.report: SystemReport | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._text: tuple[SystemReport | None, bytes] = (None, b"")

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the last report."""
        if self.report is not None:
            yield from metrics_of(self.report)

    def text(self) -> bytes:
        """Return them as text; made once a report, however often it is asked for."""
        report = self.report
        if self._text[0] is not report:
            self._text = (report, generate_latest(self._registry))
        return self._text[1]


class _Handler(BaseHTTPRequestHandler):
    """One client; it says nothing for ``timeout`` seconds, or takes nothing, and it is gone."""

    timeout = _PATIENCE_S
    server: "_Server"

    def do_GET(self) -> None:
        """Answer ``/metrics``."""
        known = self.path.partition("?")[0] in ("/", "/metrics")
        body = self.server.last.text() if known else b"ask for /metrics\n"
        self.send_response(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", _CONTENT_TYPE if known else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Return what the answers call this server: not which Python it runs on."""
        return "ecg-monitor"

    def log_message(self, format: str, *args: Any) -> None:
        """Keep requests out of the log: they are no news."""


class _Server(ThreadingTCPServer):
    """A thread a client, and few clients."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port: int) -> None:
        self.last = _LastReport()
        self._clients: list[socket.socket] = []
        self._lock = threading.Lock()
        self._pace = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client, in the place of the one that has been there longest if need be."""
        with self._lock:
            while len(self._clients) >= _MOST_CLIENTS:
                _hang_up(self._clients.pop(0))
            self._clients.append(request)
        super().process_request(request, client_address)
        self._pace.wait(_PACE_S)

    def shutdown_request(self, request: Any) -> None:
        """Forget a client that was served."""
        with self._lock:
            if request in self._clients:
                self._clients.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Take note of a client that went away in the middle."""
        logger.debug("a client of the metrics failed: %r", sys.exception())


def _hang_up(client: socket.socket) -> None:
    """Make the thread of a client notice that it is over."""
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("a client of the metrics was gone already")


class MetricsServer:
    """Serves the last report it was given; a context manager."""

    def __init__(self, port: int) -> None:
        """Listen on loopback; port 0 lets the kernel choose.

        Raises:
            EndpointError: the port cannot be had.
        """
        try:
            self._server = _Server(port)
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"fails: {error.strerror}"
            raise EndpointError(
                f"port {port} for the metrics {why}; choose another with --metrics"
            ) from None
        self.url: str = f"http://127.0.0.1:{self._server.server_address[1]}/metrics"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
        )
        self._thread.start()

    def update(self, report: SystemReport) -> None:
        """Take the report that holds from now on."""
        self._server.last.report = report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
