"""R4: more than the hub can take is held back or counted, to the sample; no window is dropped."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.clients.ingest import IngestClient
from pipeline.schema.public import BeatNote, Public, Status
from pipeline.signal.samples import SampleBlock
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.running import (
    receive_until_ended,
    running_hub,
    running_worker,
    subscriber,
    thread,
    until,
)

pytestmark = pytest.mark.system

FS = 360


def test_what_a_live_source_had_to_drop_is_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that takes nothing in: dropped, said to be dropped, and missing are the same number."""
    monkeypatch.setattr("pipeline.hub.admission.MOST_ROOM", 20)
    x = SyntheticPatient(PatientConfig(seed=4)).generate(300 * FS).samples
    shed: list[int] = []
    with (
        running_hub(tmp_path / "log") as hub,
        subscriber(hub, topics=("status/", "beat/")) as listener,
    ):

        def device(stop: object) -> None:
            with IngestClient(
                hub.endpoints["ingest"],
                stream="s",
                fs_hz=float(FS),
                lead="",
                stop=lambda: False,
                live=True,
            ) as source:
                for a in range(0, x.size, FS):
                    assert source.send(SampleBlock(a, x[a : a + FS]))
                shed.append(source.shed_samples)
                assert source.finish()

        with thread(device):
            received: list[Public] = []
            until(lambda: received.extend(listener.receive(0.05)) or bool(shed))
            with running_worker(hub):
                received += receive_until_ended(listener, "s")
    last = [m for m in received if isinstance(m, Status)][-1]
    beats = [m for m in received if isinstance(m, BeatNote)]
    assert shed[0] > 100 * FS
    assert last.shed_samples == shed[0]
    assert last.gap_samples == shed[0]
    assert last.duration_s == pytest.approx((x.size - shed[0]) / FS, abs=1e-3)
    assert last.beats == len(beats)
    assert last.pending == 0


def test_a_record_is_slowed_down_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that can wait has to: everything arrives, however few beats may wait for a score."""
    monkeypatch.setattr("pipeline.hub.admission.MOST_ROOM", 5)
    x = SyntheticPatient(PatientConfig(seed=4)).generate(120 * FS).samples
    waiting: list[bool] = []
    with (
        running_hub(tmp_path / "log") as hub,
        subscriber(hub, topics=("status/", "beat/")) as listener,
    ):

        def record(stop: object) -> None:
            with IngestClient(
                hub.endpoints["ingest"], stream="s", fs_hz=float(FS), lead="", stop=lambda: False
            ) as source:
                for a in range(0, x.size, FS):
                    assert source.send(SampleBlock(a, x[a : a + FS]))
                waiting.append(False)
                assert source.finish()

        with thread(record):
            statuses: list[Status] = []

            def held_back() -> bool:
                statuses.extend(m for m in listener.receive(0.05) if isinstance(m, Status))
                return bool(statuses) and statuses[-1].pending >= 5

            until(held_back)
            assert waiting == []
            with running_worker(hub):
                received = receive_until_ended(listener, "s")
    last = [m for m in received if isinstance(m, Status)][-1]
    assert (last.gap_samples, last.shed_samples, last.pending) == (0, 0, 0)
    assert last.sample == x.size
    assert last.beats > 100
    assert np.isclose(last.duration_s, x.size / FS)
