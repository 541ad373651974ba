"""What `monitor bench --scale` plays, and how it finds out how late an alert is."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.measure.bench_scale import (
    Case,
    ScaleFigures,
    Schedule,
    lateness_ms,
    measure_scale,
    scale_tables,
    with_memory_a_stream,
    write_records,
)
from pipeline.schema.public import Alert, Status
from replay.headers import DEMO_RECORD
from replay.records import read_lead

FS_HZ = 250.0
LENGTH = 1_000


def status(sample: int, *, epoch: int = 0, age_s: float = 0.0, stream: str = "bed0") -> Status:
    """Return the status of a stream of so many samples, the last of which came so long ago."""
    return Status(
        stream=stream, state="normal", fs_hz=FS_HZ, sample=sample, time_s=sample / FS_HZ,
        data_age_s=age_s, epoch=epoch,
    )  # fmt: skip


def alert(
    sample: int, *, epoch: int = 0, state: str = "on", kind: str = "pause", stream: str = "bed0"
) -> Alert:
    """Return an alert of a rule that was sure at a sample."""
    return Alert(
        stream=stream, kind=kind, category="physiological", priority="low", state=state,
        sample=sample, time_s=sample / FS_HZ, reason="", epoch=epoch,
    )  # fmt: skip


def figures(streams: int, hub_mb: float | None, alerts: int | None = None) -> ScaleFigures:
    """Return figures of a number of streams, with this memory and so many alerts."""
    return ScaleFigures(
        streams=streams, source="record", chunk_ms=None if alerts is None else 20.0, patients=1.0,
        hub_percent=1.5, scorer_percent=1.0, source_percent=1.0, ms_a_patient_s=1.0,
        beat_p50_ms=500.0, beat_p99_ms=None, hub_mb=hub_mb, alerts=alerts,
        alert_p50_ms=None, alert_p99_ms=None,
    )  # fmt: skip


def test_records_are_the_bundled_one_from_other_moments_on(tmp_path: Path) -> None:
    """Each has all of it, and none is as long as another."""
    _, bundled = read_lead(DEMO_RECORD)
    n, headers = bundled.size, write_records(tmp_path, 4)
    for at, header in enumerate(headers):
        info, samples = read_lead(header)
        later = at * n // 4
        assert info.leads == ("MLII",)
        assert info.total_samples == n + later
        np.testing.assert_array_equal(samples[:n], np.roll(bundled, -later))
        np.testing.assert_array_equal(samples[n:], samples[:later])


@given(
    begun_at=st.floats(0, 1e4),
    seen=st.lists(
        st.tuples(st.integers(1, 5 * LENGTH), st.floats(0, 30), st.floats(0, 2)), min_size=1
    ),
    at=st.integers(0, 9 * LENGTH),
)
def test_a_sample_is_due_after_the_first_as_the_soonest_arrival_shows_it(
    begun_at: float, seen: list[tuple[int, float, float]], at: int
) -> None:
    """Over all passes of a record: late arrivals change nothing where one was seen in time."""
    schedule = Schedule({"bed0": LENGTH})
    for position, late_s, age_s in seen:
        epoch, sample = divmod(position, LENGTH)
        asked_at = begun_at + position / FS_HZ + late_s + age_s
        schedule.observe([status(sample, epoch=epoch, age_s=age_s)], asked_at)

    epoch, sample = divmod(at, LENGTH)
    due_at = schedule.due_at(alert(sample, epoch=epoch))

    soonest_s = min((late_s for at, late_s, _ in seen if at % LENGTH), default=None)
    if soonest_s is None:
        assert due_at is None
    else:
        assert due_at == pytest.approx(begun_at + at / FS_HZ + soonest_s, abs=1e-6)


def test_a_device_does_not_repeat_and_a_stream_without_samples_is_unknown() -> None:
    """Without a length the samples are counted on; nothing is said of what has not begun."""
    schedule = Schedule({})
    schedule.observe([status(500), status(0, stream="bed1")], 102.0)

    assert schedule.due_at(alert(5_000)) == pytest.approx(120.0)
    assert schedule.due_at(alert(5_000, stream="bed1")) is None
    assert schedule.due_at(alert(0, stream="")) is None


def test_only_what_is_present_is_timed_and_not_what_goes_by_the_clock() -> None:
    """An alarm ends after a hold, and is missing data only after a patience: by rule, not late."""
    schedule = Schedule({})
    schedule.observe([status(250)], 101.0)

    late_ms = lateness_ms(
        schedule,
        [
            (102.75, alert(500)),
            (112.5, alert(500, state="off")),
            (113.0, alert(500, kind="no_data")),
            (103.0, alert(500, stream="other")),
            (104.25, alert(1_000)),
        ],
    )

    assert late_ms == pytest.approx([750.0, 250.0])


def test_the_memory_of_a_stream_is_what_the_others_add_to_a_hub_of_one() -> None:
    """Of a thousand streams and more, where a hub of one was measured in the same run."""
    cases = [figures(1, 170.0), figures(250, 250.0), figures(1_001, 470.0), figures(2_000, None)]

    of_a_stream = [one.hub_kb_a_stream for one in with_memory_a_stream(cases)]

    assert of_a_stream == [None, None, 307.2, None]
    assert with_memory_a_stream(cases[1:]) == cases[1:]


def test_the_tables_have_a_row_for_each_case_and_nothing_where_there_is_no_figure() -> None:
    """A case at full speed has no alerts; one with few of them says how many."""
    load, lateness = scale_tables([figures(64, 192.5, 7), figures(50, 200.0)])

    assert [row[:5] for row in load.rows] == [
        ("64", "record", "20", "1", "1.5"),
        ("50", "record", "", "1", "1.5"),
    ]
    assert lateness.rows == [
        ("64 record 20 ms", "500", "", "7", "", "", "192.5", ""),
        ("50 record full speed", "500", "", "", "", "", "200", ""),
    ]
    assert all(len(row) == len(load.columns) for row in load.rows)
    assert all(len(row) == len(lateness.columns) for row in lateness.rows)


@pytest.mark.slow
@pytest.mark.system
def test_alerts_of_live_streams_are_timed_at_a_subscriber() -> None:
    """Forty streams have alerts within ten seconds, and none before its sample was due."""
    measured = measure_scale(Case(40, 20), seconds=10.0, least_warm_up_s=5.0)

    assert measured.alerts
    assert measured.alert_p50_ms is not None
    assert measured.alert_p50_ms > 0
    assert (measured.alert_p99_ms is None) == (measured.alerts < 100)
