"""The plan follows from what was measured: more streams cost more, a dead machine is made up."""

import math
from itertools import pairwise

import pytest

from models.evaluation.report.markdown import markdown
from models.measure.provenance import provenance
from monitor.measure.bench_cluster import ClusterFigures
from monitor.measure.plan import (
    SIZES,
    Assumptions,
    plan_for,
    plan_sections,
    recovered_after_s,
)

ONE = ClusterFigures(
    streams=32, seconds=60, chunk_s=1.0, gateway_us=50.0, worker_us=250.0, chunk_bytes=1_500.0,
    alert_bytes=10.0, alerts_an_hour=20.0, bridge_alerts_s=5_000.0, snapshot_bytes=50_000.0,
    snapshot_us=300.0, restore_us=300.0, worker_kib=300.0, worker_base_mib=150.0, idle_share=0.02,
    source_hz=360,
)  # fmt: skip
ASSUMED = Assumptions()


def test_ten_times_the_streams_need_ten_times_as_much() -> None:
    """But of what there is at least; nobody pays more for being one of many."""
    plans = [plan_for(streams, ONE, ASSUMED) for streams in SIZES]

    for few, many in pairwise(plans):
        assert many.worker_cores == pytest.approx(10 * few.worker_cores, rel=0.2)
        assert many.partitions == 10 * few.partitions
        assert many.disk_gb == pytest.approx(10 * few.disk_gb, rel=0.01)
        assert many.dollars_a_patient_day <= few.dollars_a_patient_day
    assert plans[1].worker_cores == math.ceil(100_000 * 250e-6 / 0.6)
    assert plans[1].in_mb_s == pytest.approx(100_000 * 1_500 * 250 / 360 / 1e6, abs=0.1)


def test_a_dead_machine_is_made_up_in_the_time_that_the_others_have_left() -> None:
    """By hand: 8 of 42 cores dead, each other one has 0.4 of its core, less what it takes over."""
    cores = plan_for(100_000, ONE, ASSUMED).worker_cores
    taken = 100_000 * 8 / cores / (cores - 8)
    waiting_s = 10.0 + 3.0
    behind = taken * (60.0 + waiting_s) * 250e-6 + taken * 300e-6
    left = 1.0 - 100_000 / cores * 250e-6 - taken * 250e-6
    expected = waiting_s + taken * 50_000 / 1.25e9 + behind / left

    assert recovered_after_s(100_000, cores, ONE, ASSUMED) == pytest.approx(expected, rel=0.01)
    assert recovered_after_s(10_000, 3, ONE, ASSUMED) == math.inf


def test_the_document_says_what_was_assumed() -> None:
    """Every assumption, what was measured, and where."""
    plans = [plan_for(streams, ONE, ASSUMED) for streams in SIZES]
    text = markdown(plan_sections([ONE], plans, ASSUMED, provenance()))

    assert "1,000,000" in text
    assert "core hour 0.045" in text
    assert "breaks first" in text
    assert "us a second of signal" in text
