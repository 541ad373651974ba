"""What the hub counts, and what it says of itself each second."""

import logging
import time
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.client import ask
from pipeline.hub.counters import BUCKETS_MS, Histograms, HubCounters
from pipeline.hub.status import HubStatus, resident_bytes
from pipeline.schema.messages import SCORING_VERSION, Chunk, Ready, ScoreRequest, decode, encode
from pipeline.schema.public import (
    STAGES,
    Alert,
    Status,
    SystemReport,
    decode_public,
    encode_json,
)
from pipeline.schema.requests import Acknowledge, State
from pipeline.scoring.beat import Beat
from pipeline.signal.quality import Reason
from pipeline.stream.counters import Counters
from pipeline.stream.session import StreamSession
from pipeline.stream.stream import Stream
from pipeline.transport.sockets import Dealer, wait
from tests.support.running import (
    CONFIG,
    feed,
    receive_until_ended,
    running_hub,
    running_worker,
    subscriber,
    until,
)

R7 = (
    "received_samples", "duplicate_samples", "out_of_order_samples", "gap_samples", "late_samples",
    "shed_samples", "produced_windows", "scored_windows", "pending_windows", "refused_windows",
    "redelivered_windows", "rejected_frames",
)  # fmt: skip


LATENCIES_MS = st.floats(0.0, 1e5, width=32)


@given(st.lists(st.lists(LATENCIES_MS, min_size=2, max_size=2), max_size=60))
def test_histograms_count_what_is_no_longer_than_each_bucket(pairs: list[list[float]]) -> None:
    """Cumulative counts as Prometheus wants them, against counting one by one."""
    histograms = Histograms(2)
    for some in (pairs[:20], pairs[20:]):
        histograms.observe(np.array(some).reshape(-1, 2).T)

    for kind, report in enumerate(histograms.report()):
        values = [pair[kind] for pair in pairs]
        assert report.cumulative == [sum(v <= bucket for v in values) for bucket in BUCKETS_MS]
        assert report.count == len(values)
        assert report.sum_ms == pytest.approx(sum(values), abs=1e-3)


def beats_of(times: Sequence[Sequence[float]]) -> list[Beat]:
    """Return beats with these times and this ``compute_s``."""
    names = ("r_arrived", "window_arrived", "ready_arrived", "cut_at", "scored_at", "compute_s")
    beats = []
    for of_beat in times:
        nothing = np.zeros(0, np.float32)
        beat = Beat(("s", 0, 0), 0, 0.8, nothing, nothing, Reason.OK, 0.0, 0.0, 0.0, 0.0)
        for name, value in zip(names, of_beat, strict=True):
            setattr(beat, name, value)
        beats.append(beat)
    return beats


@given(st.lists(st.lists(st.floats(0.0, 20.0), min_size=6, max_size=6), max_size=30))
def test_latencies_are_counted_as_each_beat_has_them(times: list[list[float]]) -> None:
    """Stage by stage, also where another clock made a stage negative."""
    counts, beats = HubCounters(), beats_of(times)
    latencies = [beat.latency(20.0) for beat in beats]

    totals = counts.on_beats(beats, 20.0)

    assert totals == pytest.approx([one.total for one in latencies], abs=0.01)
    for stage, histogram in counts.latency_ms().items():
        values = [max(0.0, getattr(one, stage)) for one in latencies]
        assert histogram.count == len(beats)
        assert histogram.sum_ms == pytest.approx(sum(values), abs=0.2)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_time_that_is_no_number_spoils_no_report(wrong: float) -> None:
    """A forged state may bring one; its beat counts, and no later report is without a sum."""
    counts = HubCounters()
    totals = counts.on_beats(beats_of([[wrong] * 6, [0.0] * 6]), 20.0)
    assert totals == [0.0, 20_000.0]
    for histogram in counts.latency_ms().values():
        assert (histogram.count, np.isfinite(histogram.sum_ms)) == (2, True)


def status_of(
    counters: HubCounters,
    sessions: Sequence[StreamSession] = (),
    scorers: Iterable[int] = repeat(0),
    version: str = "",
    commit: str = "",
) -> HubStatus:
    """Return what reports on a hub with these parts; each report finds the next of ``scorers``."""
    working = iter(scorers)
    dispatcher = SimpleNamespace(working=lambda now: next(working), redelivered=0, pending=0)
    parts: tuple[Any, ...] = (
        SimpleNamespace(version=version, commit=commit, recorder=None),
        lambda: 10.0,
        counters,
        SimpleNamespace(sessions=dict(enumerate(sessions))),
        dispatcher,
        SimpleNamespace(fault="", unwritable="", waiting=0, streams_waiting=set()),
        SimpleNamespace(path=Path("/ward/3/a.sqlite"), log_id="l", last_seq=0, low_water_seq=1),
        SimpleNamespace(rejected=0),
        SimpleNamespace(active=[]),
        lambda report, statuses: None,
    )
    return HubStatus(*parts)


def report_of(counters: HubCounters, **parts: Any) -> SystemReport:
    """Return the report on a hub without streams, but for ``parts``."""
    return status_of(counters, **parts).report()


def test_states_of_very_many_streams_are_counted_less_often() -> None:
    """In proportion; at once where something was reported, and of the usual number always."""
    sessions = [session_of(Counters(), 0)]
    status = status_of(HubCounters(), sessions=sessions)
    sessions_of_hub = status._streams.sessions
    assert status.report(share=4.0).streams == {"not_analysable": 1}
    sessions_of_hub["another"] = session_of(Counters(samples=7), 0)

    later = status.report(share=4.0)
    assert (later.streams, later.received_samples) == ({"not_analysable": 1}, 7)
    assert status.report(share=1.0).streams == {"not_analysable": 2}
    del sessions_of_hub["another"]
    assert status.report(share=4.0).streams == {"not_analysable": 2}
    status.report_now()
    assert status.report(share=4.0).streams == {"not_analysable": 1}


def session_of(counters: Counters, shed: int) -> StreamSession:
    """Return the session of a stream with these counters."""
    stream = Stream("s", 360.0, CONFIG, lambda: 0.0)
    stream.state.counters = counters
    session = StreamSession(stream, "II", 0.0)
    session.state.shed_samples = shed
    return session


def test_counters_of_a_forgotten_stream_stay_in_the_sums() -> None:
    """No total ever falls because a stream is over."""
    counts = HubCounters()
    here = session_of(Counters(samples=10, duplicate_samples=2, windows=3, scored_windows=3), 4)
    before = report_of(counts, sessions=[here])
    counts.on_removed(here)
    after = report_of(counts, sessions=[session_of(Counters(samples=1, gap_samples=5), 2**63)])

    assert (before.received_samples, before.produced_windows) == (12, 3)
    assert (after.received_samples, after.produced_windows, after.gap_samples) == (13, 3, 5)
    assert (before.shed_samples, after.shed_samples) == (4, 2**62)


def test_an_alarm_is_counted_once_when_it_begins() -> None:
    """What becomes of it afterwards is no alarm more."""
    counts = HubCounters()
    alert = Alert(
        stream="s", kind="k", category="c", priority="low", sample=0, time_s=0.0, reason=""
    )
    for state in ("on", "ack", "latched", "off"):
        counts.on_alert(msgspec.structs.replace(alert, state=state))

    assert report_of(counts).alerts == {"k": 1}


def test_report_names_the_log_without_its_folder() -> None:
    """Where a hospital keeps its files is nobody's business."""
    report = report_of(HubCounters())
    assert report.log.name == "a.sqlite"
    assert b"/ward" not in encode_json(report)


def test_what_concerns_the_system_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Scorers that come and go, alarms of no stream, silent sources: no beats, no rhythms."""
    status = status_of(HubCounters(), scorers=(1, 1, 0, 0, 2, 2))
    alert = Alert(
        stream="", kind="no_scorer", category="technical", priority="high", sample=0, time_s=0.0,
        reason="none",
    )  # fmt: skip
    with caplog.at_level(logging.INFO, logger="pipeline.hub.status"):
        for _ in range(6):
            status.report()
        status.on_alert(alert)
        status.on_alert(msgspec.structs.replace(alert, stream="s", kind="no_data"))
        status.on_alert(msgspec.structs.replace(alert, stream="s", kind="asystole"))

    assert [(r.levelname, r.getMessage(), getattr(r, "stream", "")) for r in caplog.records] == [
        ("INFO", "scorers: 1, were 0", ""),
        ("WARNING", "scorers: 0, were 1", ""),
        ("INFO", "scorers: 2, were 0", ""),
        ("INFO", "no_scorer is on: none", ""),
        ("INFO", "no_data is on: none", "s"),
    ]


def test_saved_report_of_schema_1_is_read_for_ever() -> None:
    """Topic ``system``; what later versions add has defaults."""
    saved = (
        b'{"schema":1,"utc":"2026-11-25T03:00:00.000Z","version":"0.1.0","commit":"",'
        b'"uptime_s":1.5,"resident_bytes":null,"streams":{"normal":1},"scorers":1,'
        b'"received_samples":12,"duplicate_samples":2,"out_of_order_samples":3,"gap_samples":4,'
        b'"late_samples":1,"shed_samples":0,"produced_windows":9,"scored_windows":5,'
        b'"pending_windows":3,"refused_windows":1,"redelivered_windows":0,"rejected_frames":0,'
        b'"alerts":{"asystole":1},"buckets_ms":[1.0],'
        b'"latency_ms":{"total":{"cumulative":[0],"count":5,"sum_ms":9.0}},'
        b'"log":{"log_id":"a","name":"a.sqlite","last_seq":3,"low_water_seq":1,"bytes":4096,'
        b'"wal_bytes":0,"writable":true}}'
    )
    report = decode_public(b"system", saved)

    assert isinstance(report, SystemReport)
    assert report.unaccounted_windows == 0
    assert report.latency_ms["total"].count == 5
    assert encode_json(report).startswith(saved[:-1])


def test_resident_memory_is_this_process() -> None:
    """It grows by what is touched."""
    before = resident_bytes()
    if before is None:
        pytest.skip("no /proc here")
    held = np.ones(8_000_000)
    grown = (resident_bytes() or 0) - before
    assert held.nbytes * 0.9 < grown < held.nbytes * 1.5


def test_every_report_accounts_for_every_window(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """Produced = scored + pending + refused, each second: without a scorer, with one, after it."""
    reports: list[SystemReport] = []
    with (
        running_hub(tmp_path / "log.sqlite") as hub,
        subscriber(hub, topics=("status/", "system")) as listener,
    ):
        feed(hub, "demo", demo)

        def backlog() -> bool:
            reports.extend(m for m in listener.receive(0.1) if isinstance(m, SystemReport))
            return bool(reports) and reports[-1].pending_windows > 100

        until(backlog)
        with running_worker(hub) as scorer:
            received = receive_until_ended(listener, "demo")
        reports += [m for m in received if isinstance(m, SystemReport)]
        reply = ask(hub.endpoints["control"], State())

    assert reply.system is not None
    reports.append(reply.system)
    last = reports[-1]
    [status] = reply.statuses
    assert [r.unaccounted_windows for r in reports] == [0] * len(reports)
    assert {r.pending_windows for r in reports} >= {0, reports[0].produced_windows}
    assert last.scored_windows == last.produced_windows == scorer.windows - 1  # one to warm up
    assert last.scored_windows == status.beats - status.beats_not_analysable
    assert last.received_samples == demo.size
    assert last.streams == {"ended": 1}
    for stage in STAGES:
        assert last.latency_ms[stage].count == last.scored_windows
    assert sum(last.alerts.values()) > 0
    assert sum(last.alerts.values()) <= last.log.last_seq
    assert (last.log.name, last.log.writable) == ("log.sqlite", True)
    assert last.log.bytes + last.log.wal_bytes > 4096
    assert 0 < last.uptime_s < 60


def test_each_kind_of_trouble_has_a_counter_of_its_own(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Repeats, disorder, gaps, late and shed samples, junk: each exactly as sent."""
    with running_hub(tmp_path / "log") as hub, Dealer(hub.endpoints["ingest"]) as source:
        answers: list[bytes] = []

        def send(first: int, end: int, **changes: Any) -> None:
            chunk = Chunk(
                stream="s", first_sample=first, fs_hz=360.0,
                samples=demo[first:end].astype("<f4"),
            )  # fmt: skip
            frame = encode(msgspec.structs.replace(chunk, **changes))
            until(lambda: source.send(frame) or bool(wait([source], 0.02)))
            wait([source], 10.0)
            answers.extend(source.receive())

        send(0, 1000)
        send(0, 1000)  # a repeat
        send(1100, 1150)
        send(1000, 1100)  # overtaken: put in its place
        send(1200, 1500)  # behind a hole that is given up
        send(1150, 1200)  # late
        send(1500, 1600, shed=7)
        send(1500, 1700, fs_hz=250.0)  # refused
        source.send(b"junk")
        send(0, 100, stream="t")
        report = ask(hub.endpoints["control"], State()).system

    assert len(answers) == 9
    assert report is not None
    counted = {name: getattr(report, name) for name in R7 if not name.endswith("_windows")}
    assert counted == {
        "received_samples": 2 * 1000 + 50 + 100 + 300 + 50 + 100 + 100,
        "duplicate_samples": 1000 + 50,  # what is late is one too
        "out_of_order_samples": 100,
        "gap_samples": 50,
        "late_samples": 50,
        "shed_samples": 7,
        "rejected_frames": 2,
    }
    assert report.unaccounted_windows == 0


def test_windows_under_way_are_pending(tmp_path: Path, demo: NDArray[np.float32]) -> None:
    """A scorer that takes a batch and never answers holds windows, and hides none."""
    with (
        running_hub(tmp_path / "log") as hub,
        Dealer(hub.endpoints["work"]) as mute,
        subscriber(hub, topics=("system",)) as listener,
    ):
        feed(hub, "demo", demo[:7200])
        taken: list[ScoreRequest] = []
        ready = encode(Ready(model="mute", device="none", credit=1, version=SCORING_VERSION))
        until(lambda: mute.send(ready) or bool(wait([mute], 0.02)))

        def took() -> bool:
            wait([mute], 0.1)
            taken.extend(m for f in mute.receive() if isinstance(m := decode(f), ScoreRequest))
            return bool(taken)

        until(took)
        held = ask(hub.endpoints["control"], State()).system
        reports: list[SystemReport] = []

        def given_up() -> bool:
            mute.send(ready)
            reports.extend(m for m in listener.receive(0.1) if isinstance(m, SystemReport))
            return bool(reports) and reports[-1].redelivered_windows > 0

        until(given_up)

    assert held is not None
    assert held.pending_windows == held.produced_windows >= len(taken[0].ids) > 5
    assert (held.unaccounted_windows, held.redelivered_windows) == (0, 0)
    assert reports[-1].unaccounted_windows == 0
    assert reports[-1].redelivered_windows % len(taken[0].ids) == 0  # all of them each time


def test_a_name_that_begins_again_takes_nothing_from_the_sums(tmp_path: Path) -> None:
    """What its first stream brought is still counted when the second one has its place."""
    x = np.zeros(3600, np.float32)
    with running_hub(tmp_path / "log") as hub, subscriber(hub, topics=("status/",)) as listener:
        for _ in range(2):
            feed(hub, "s", x)
            receive_until_ended(listener, "s")
        report = ask(hub.endpoints["control"], State()).system

    assert report is not None
    assert report.streams == {"ended": 1}
    assert report.received_samples == 2 * x.size


def test_a_restored_hub_accounts_for_the_windows_of_the_last_one(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """Windows that waited in one hub are pending in the next, and no sample is counted twice."""
    log = tmp_path / "log"
    with running_hub(log) as hub:
        feed(hub, "demo", demo)
        first = ask(hub.endpoints["control"], State()).system
    with running_hub(log) as hub, subscriber(hub, topics=("status/",)) as listener:
        second = ask(hub.endpoints["control"], State()).system
        with running_worker(hub):
            receive_until_ended(listener, "demo")
        third = ask(hub.endpoints["control"], State()).system

    assert first is not None
    assert second is not None
    assert third is not None
    assert second.pending_windows == first.pending_windows == first.produced_windows > 100
    assert [r.received_samples for r in (first, second, third)] == [demo.size] * 3
    assert [r.unaccounted_windows for r in (first, second, third)] == [0, 0, 0]
    assert third.scored_windows == first.produced_windows


def test_the_state_on_request_is_what_is_published(tmp_path: Path) -> None:
    """The same statuses, and every counter of a report."""
    with running_hub(tmp_path / "log") as hub:
        feed(hub, "a", np.zeros(720, np.float32))
        reply = ask(hub.endpoints["control"], State())
        acknowledged = ask(hub.endpoints["control"], Acknowledge())

    assert [type(s) for s in reply.statuses] == [Status]
    assert reply.statuses[0].stream == "a"
    assert reply.system is not None
    assert all(isinstance(getattr(reply.system, name), int) for name in R7)
    assert acknowledged.system is None


def test_observing_a_beat_costs_microseconds() -> None:
    """Counting is no load: 10,000 beats in well under a second."""
    counts, [beat] = HubCounters(), beats_of([[0.0, 0.5, 0.5, 0.5, 0.51, 0.005]])
    began = time.process_time()
    for _ in range(100):
        counts.on_beats([beat] * 100, 1.0)
    assert time.process_time() - began < 1.0


def test_an_alarm_is_counted_when_it_begins_and_not_when_it_calls_again() -> None:
    """Who counts alarms an hour wants to know how many there were."""
    counts = HubCounters()
    life = AlarmStateMachine("s", 100.0, AlarmSettings(realarm_s=30.0))
    alerts = life.begin("asystole", 100, "r")
    alerts += life.end("asystole", 200, "over")
    alerts += life.begin("asystole", 300, "r")
    alerts += life.acknowledge(400)
    alerts += life.advance(400 + 3_001)
    assert [alert.state for alert in alerts] == ["on", "latched", "on", "ack", "on"]
    for alert in alerts:
        counts.on_alert(alert)
    assert report_of(counts).alerts == {"asystole": 1}
