"""The metrics for Prometheus, scraped over HTTP as Prometheus does."""

import contextlib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.metrics import (
    _MAX_CLIENTS,
    _TIMEOUT_S,
    COUNTERS,
    GAUGES,
    LOG_GAUGES,
    STATES,
    MetricsServer,
)
from pipeline.errors import EndpointError
from pipeline.hub.counters import BUCKETS_MS, HubCounters
from pipeline.schema.public import STAGES, Status, SystemReport
from tests.monitor.cli.test_app import exit_code
from tests.pipeline.hub.test_counters import R7, report_of
from tests.support.limits import promised
from tests.support.logs import alert
from tests.support.running import (
    feed,
    receive_until_ended,
    running_hub,
    running_worker,
    subscriber,
    until,
)

pytestmark = pytest.mark.system

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(url: str) -> Samples:
    """Return every sample that Prometheus would see, by name and labels."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return one sample of ours."""
    return samples[f"ecg_monitor_{name}", tuple(sorted(labels.items()))]


@pytest.fixture
def report() -> SystemReport:
    """Return a report in which every number is different."""
    counts = HubCounters()
    counts._histograms.observe(np.outer(np.arange(len(STAGES)) + 1.0, [0.5, 7.0, 20_000.0]))
    numbers = {name: 1000 + n for n, name in enumerate([*COUNTERS, *GAUGES])}
    log = {name: 2000 + n for n, name in enumerate(LOG_GAUGES)}
    plain = msgspec.to_builtins(report_of(counts, version="1.2.3", commit="abc"))
    plain |= numbers
    plain |= {"alerts": {"asystole": 3}, "streams": {"normal": 2, "ended": 1}}
    plain["log"] |= log | {"writable": True}
    return msgspec.convert(plain, SystemReport)


def test_scrape_has_every_counter_and_every_stage(report: SystemReport) -> None:
    """Names, values and cumulative buckets are those of the report, as Prometheus parses them."""
    with MetricsServer(0) as server:
        server.update(report)
        samples = scrape(server.url)

    for name in R7:
        suffix = "" if name == "pending_windows" else "_total"
        assert value(samples, name + suffix) == getattr(report, name)
    assert value(samples, "scorers") == report.scorers
    assert value(samples, "uptime_seconds") == report.uptime_s
    assert value(samples, "resident_bytes") == report.resident_bytes
    assert value(samples, "alerts_total", kind="asystole") == 3
    assert value(samples, "streams", state="normal") == 2
    assert value(samples, "log_last_seq") == report.log.last_seq
    assert value(samples, "log_low_water_seq") == report.log.low_water_seq
    assert value(samples, "log_bytes") == report.log.bytes
    assert value(samples, "log_wal_bytes") == report.log.wal_bytes
    assert value(samples, "log_writable") == 1
    assert value(samples, "build_info", version="1.2.3", commit="abc") == 1
    assert abs(value(samples, "report_timestamp_seconds") - time.time()) < 60
    for stage in STAGES:
        histogram = report.latency_ms[stage]
        buckets = [
            value(samples, "latency_seconds_bucket", stage=stage, le=f"{ms / 1e3:g}")
            for ms in BUCKETS_MS
        ]
        assert buckets == histogram.cumulative
        assert value(samples, "latency_seconds_bucket", stage=stage, le="+Inf") == 3
        assert value(samples, "latency_seconds_count", stage=stage) == 3
        assert value(samples, "latency_seconds_sum", stage=stage) == histogram.sum_ms / 1e3


def test_streams_are_named_only_where_that_is_asked_for(report: SystemReport) -> None:
    """Names may be people: bpm, state and active alarms of a stream are off by default."""
    alarms = [alert(1, kind="asystole", priority="high"), alert(2, kind="pause", priority="medium")]
    statuses = [
        Status(
            stream="s1", state="abnormal", fs_hz=360, sample=1, time_s=1.0, bpm=71.5, alarms=alarms
        ),
        Status(stream="s2", state="normal", fs_hz=360, sample=1, time_s=1.0, ended=True),
    ]
    with MetricsServer(0) as server:
        server.update(report, lambda: statuses)
        assert not any("stream" in dict(labels) for _, labels in scrape(server.url))
    with MetricsServer(0, streams=True) as server:
        server.update(report, lambda: statuses)
        samples = scrape(server.url)
        assert value(samples, "stream_bpm", stream="s1") == 71.5
        assert ("ecg_monitor_stream_bpm", (("stream", "s2"),)) not in samples
        assert value(samples, "stream_alarms", stream="s1", kind="pause", priority="medium") == 1
        for state in STATES:
            n = value(samples, "stream_state", stream="s2", state=state)
            assert n == (state == "ended")
        server.update(report)
        samples = scrape(server.url)
    assert not any("stream" in dict(labels) for _, labels in samples)


def test_metrics_of_streams_need_a_port(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2, of each command that has the option."""
    for words in (["hub"], ["replay", "demo"], ["live", "--device", "synthetic:"]):
        assert exit_code(monkeypatch, *words, "--metrics-streams") == 2
        assert "--metrics PORT" in capsys.readouterr().err


def test_a_scrape_shows_the_last_report(report: SystemReport) -> None:
    """Each new report replaces the text of the one before."""
    with MetricsServer(0) as server:
        for n in (1, 2):
            server.update(msgspec.structs.replace(report, produced_windows=n))
            assert value(scrape(server.url), "produced_windows_total") == n


def test_unknown_memory_is_left_out(report: SystemReport) -> None:
    """An unknown value is not reported as 0."""
    with MetricsServer(0) as server:
        server.update(msgspec.structs.replace(report, resident_bytes=None))
        assert ("ecg_monitor_resident_bytes", ()) not in scrape(server.url)


def test_nothing_else_is_served(report: SystemReport) -> None:
    """Another path is 404, another method 501."""
    with MetricsServer(0) as server:
        server.update(report)
        base = server.url.removesuffix("/metrics")
        for path, method, code in (("/log", "GET", 404), ("/metrics", "POST", 501)):
            request = urllib.request.Request(base + path, method=method)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=10)
            assert refused.value.code == code
            refused.value.close()


def test_port_in_use_is_refused_in_one_line() -> None:
    """It names the option that helps, and the first server continues."""
    with MetricsServer(0) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        with pytest.raises(EndpointError, match=rf"port {port} .* in use; .*--metrics"):
            MetricsServer(port)
        scrape(server.url)


@contextlib.contextmanager
def hostile_clients(url: str, n: int) -> Iterator[None]:
    """Hold ``n`` connections: some silent, some half a request, some that never read."""
    port = int(url.split(":")[2].split("/")[0])
    beginnings = (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n", b"\xff" * 70_000, b"\n")
    with contextlib.ExitStack() as stack:
        for k in range(n):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                client.send(beginnings[k % len(beginnings)])
        yield


@promised(5.0)
def test_clients_that_never_read_do_not_keep_others_out(
    report: SystemReport, limit_s: float
) -> None:
    """The next client is served at once, in place of the oldest."""
    with MetricsServer(0) as server:
        server.update(report)
        with hostile_clients(server.url, 3 * _MAX_CLIENTS):
            began = time.monotonic()
            for _ in range(3):
                scrape(server.url)
            assert time.monotonic() - began < limit_s


@promised(_TIMEOUT_S)
def test_silent_clients_are_disconnected(report: SystemReport, limit_s: float) -> None:
    """The oldest at once where there are too many, a single one after two seconds."""
    with MetricsServer(0) as server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", int(server.url.split(":")[2].split("/")[0]))

        def silent() -> socket.socket:
            return stack.enter_context(socket.create_connection(address, 10))

        began = time.monotonic()
        clients = [silent() for _ in range(_MAX_CLIENTS + 1)]
        assert clients[0].recv(1) == b""
        assert time.monotonic() - began < limit_s
        assert clients[-1].recv(1) == b""
        assert _TIMEOUT_S * 0.9 < time.monotonic() - began < limit_s + 5


@promised(1.0)
def test_hostile_clients_never_hold_up_the_hub(tmp_path: Path, limit_s: float) -> None:
    """Heartbeats continue, a stream is processed to its end, and the counters are correct."""
    with (
        MetricsServer(0) as server,
        running_hub(tmp_path / "log", on_report=server.update) as hub,
        running_worker(hub) as scorer,
        subscriber(hub, topics=("status/",)) as listener,
        ThreadPoolExecutor(2) as floods,
        hostile_clients(server.url, 40),
    ):
        until(lambda: any(listener.receive(0.1)) or listener.heartbeats > 0)
        done = floods.submit(lambda: [scrape(server.url) for _ in range(100)])
        beats: list[float] = []

        def complete() -> bool:
            before = listener.heartbeats
            for _ in listener.receive(0.1):
                pass
            beats.extend([time.monotonic()] * (listener.heartbeats - before))
            return done.done() and len(beats) > 4

        until(complete)
        assert max(np.diff(beats)) < limit_s
        feed(hub, "s", np.zeros(3600, np.float32))
        receive_until_ended(listener, "s")
        until(lambda: value(scrape(server.url), "received_samples_total") == 3600)
        done.result()
    assert scorer.windows >= 1
