"""The plan follows from what was measured: more streams cost more, a dead machine is made up."""

import math
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest

from models.evaluation.report.markdown import markdown
from models.evaluation.report.tables import Table
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
    assert "breaks first" in text
    assert "us a second of signal" in text
    assert "Assumed:" not in text
    for row in (
        "| an hour of a core with 4 GiB | 0.045 US dollars | assumed: a list price, rounded |",
        "| time between snapshots of a stream | 60 s | assumed: the default of `--snapshot-s` |",
        "| network of a machine | 1,250 MB/s | assumed |",
        "| CPU of a worker, for a second of signal | 250 us | "
        "measured by `monitor evaluate plan`, chunks of 1 s |",
        "| rate at which chunks were measured | 360 Hz | measured by `monitor evaluate plan` |",
    ):
        assert row in text.splitlines()


def test_every_input_of_the_plan_is_in_its_table() -> None:
    """Each has a row of its own, with the value in use; nothing that is measured is assumed."""
    plans = [plan_for(SIZES[0], ONE, ASSUMED)]

    def rows(one: ClusterFigures, assumed: Assumptions) -> list[tuple[str, ...]]:
        table = plan_sections([one], plans, assumed, provenance())[0].blocks[2]
        assert isinstance(table, Table)
        return [tuple(row) for row in table.rows]

    before = rows(ONE, ASSUMED)
    read = _Read(ONE)
    plan_for(SIZES[0], read, ASSUMED)  # type: ignore[arg-type]
    assert read.names >= {"worker_us", "source_hz", "restore_us"}
    for facts, names, source in (
        (ONE, sorted(read.names), "measured"),
        (ASSUMED, [field.name for field in fields(ASSUMED)], "assumed"),
    ):
        for name in names:
            other: Any = replace(facts, **{name: 3 * getattr(facts, name)})
            after = rows(other, ASSUMED) if source == "measured" else rows(ONE, other)
            (changed,) = [new for old, new in zip(before, after, strict=True) if old != new]
            assert changed[2].startswith(source), name
    assert len(before) == len(read.names) + len(fields(ASSUMED))


class _Read:
    """Figures that keep which of them were read."""

    def __init__(self, figures: ClusterFigures) -> None:
        self.names: set[str] = set()
        self._figures = figures

    def __getattr__(self, name: str) -> float:
        self.names.add(name)
        return float(getattr(self._figures, name))
