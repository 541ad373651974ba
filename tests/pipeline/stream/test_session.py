"""What the hub reports of a stream: the signal for dashboards, and the status."""

import numpy as np
import pytest

from pipeline.errors import SnapshotError
from pipeline.schema.public import SignalStrip
from pipeline.scoring.live_score import COMPONENTS, LiveScoreConfig, Scale
from pipeline.signal.samples import SampleBlock
from pipeline.stream.session import SessionState, StreamSession, SystemState
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.stream import Stream
from pipeline.stream.strips import Strip
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.lead_sets.troubles import LeadTrouble
from tests.support.strips import read_back

CONFIG = LiveScoreConfig(
    scales={name: Scale(median=0.0, p95=1.0) for name in COMPONENTS},
    threshold=3.0,
    learning_threshold=3.0,
)
WELL = SystemState(scorers=1, redelivered=0, rejected_frames=0, log_behind=False, fault="")


def session() -> StreamSession:
    """Return the session of a stream that has just begun."""
    return StreamSession(Stream("s", 360.0, CONFIG, lambda: 0.0), "II", arrived_at=10.0)


def strip(first: int, n: int, epoch: int = 0) -> Strip:
    """Return ``n`` values that are their own positions, in uV."""
    values = np.arange(first, first + n)[np.newaxis] / 1e3
    return Strip(epoch, first, values.astype(np.float32))


def shown(first: int, n: int, epoch: int = 0) -> SignalStrip:
    """Return what is published of them."""
    values = [(first + i) / 1e3 for i in range(n)]
    return SignalStrip(stream="s", epoch=epoch, first_sample=first, fs_hz=360.0, mv=list(values))


def taken_from(one: StreamSession) -> SignalStrip:
    """Return the strip that is published next."""
    taken = one.take_strip()
    assert taken is not None
    return read_back(taken)


def test_strips_that_follow_each_other_become_one() -> None:
    """What came in several chunks goes out once, at its place."""
    one = session()
    one.add_strip(strip(100, 5))
    one.add_strip(strip(105, 5))

    assert taken_from(one) == shown(100, 10)
    assert one.take_strip() is None


@pytest.mark.parametrize(("first", "epoch"), [(500, 0), (0, 1), (105, 1)])
def test_strip_after_a_gap_or_in_a_new_epoch_has_its_own_position(first: int, epoch: int) -> None:
    """The picture never shows as one what a gap or a new round has separated."""
    one = session()
    one.add_strip(strip(100, 5))
    one.add_strip(strip(first, 5, epoch))

    assert taken_from(one) == shown(first, 5, epoch)


def test_picture_needs_only_the_newest_ten_seconds() -> None:
    """A replay at full speed does not flood its watchers."""
    one = session()
    one.add_strip(strip(0, 10_000))

    assert taken_from(one) == shown(6_400, 3_600)


def test_several_leads_go_out_together_and_survive_a_restart() -> None:
    """Each under its name, with the lead of the latest beat; the state of one lead is refused."""
    names, fs_hz = ["II", "V1"], 360.0
    patient = SyntheticPatient(
        PatientConfig(leads=tuple(names), troubles=(LeadTrouble("off", "II", 10.0, 60.0),), seed=3)
    )
    signal = patient.generate(round(25 * fs_hz))

    def begun(state: SessionState | None = None) -> StreamSession:
        inner = None if state is None else state.stream
        stream = Stream("s", fs_hz, CONFIG, lambda: 0.0, leads=names, state=inner)
        return StreamSession(stream, "II", 0.0, state, leads=names)

    def play(one: StreamSession, begin: int, end: int) -> SignalStrip:
        block = SampleBlock(begin, signal.samples[:, begin:end], flags=signal.flags[:, begin:end])
        for strip in one.stream.take(block).strips:
            one.add_strip(strip)
        return taken_from(one)

    one = begun()
    early = play(one, 0, 3_000)
    other = begun(unpack(pack(one.state), SessionState))
    late = play(one, 3_000, 9_000)

    assert (early.leads, early.lead, late.lead) == (names, "II", "V1")
    assert [len(mv) for mv in late.signals] == [3_600, 3_600]
    assert late.mv[-720:] == [None] * 720
    assert None not in late.signals[1]
    assert play(other, 3_000, 9_000) == late
    with pytest.raises(SnapshotError):
        StreamSession(Stream("s", fs_hz, CONFIG, lambda: 0.0), "II", 0.0, one.state)


def test_silent_source_is_not_analysable_until_its_end() -> None:
    """No data for 2 s is reported with its age; a stream that has ended is not stale."""
    one = session()
    assert one.status(11.0, WELL).state == "learning"
    stale = one.status(12.5, WELL)
    assert (stale.state, stale.reason) == ("not_analysable", "no data from the source")
    assert stale.data_age_s == 2.5
    one.state.ending = True
    assert one.status(99.0, WELL).state == "learning"
    assert one.status(99.0, WELL).ended


def test_end_is_reported_only_when_the_log_has_everything() -> None:
    """Whoever sees the end can rely on every alert being in the log."""
    one = session()
    one.state.ending = True
    behind = SystemState(scorers=1, redelivered=0, rejected_frames=0, log_behind=True, fault="full")
    status = one.status(11.0, behind)

    assert not status.ended
    assert status.fault == "full"


@pytest.mark.parametrize("beats", [1, 2, 99, 700, 1_203])
def test_latencies_are_those_of_the_latest_beats(beats: int) -> None:
    """Median and 99th percentile of five hundred at most, after a restart as well."""
    one = session()
    assert one.status(11.0, WELL).latency_p99_ms is None
    taken = np.random.default_rng(0).permutation(beats).astype(float).tolist()
    for latency_ms in taken:
        one.record_latency(latency_ms)

    latest = sorted(taken[-500:])
    state = unpack(pack(one.state), SessionState)
    stream = Stream("s", 360.0, CONFIG, lambda: 0.0, state=state.stream)
    for session_ in (one, StreamSession(stream, "II", 10.0, state)):
        status = session_.status(11.0, WELL)
        assert status.latency_p50_ms == latest[len(latest) // 2]
        assert status.latency_p99_ms == latest[len(latest) * 99 // 100]
