"""R4: more than the hub can take is held back or counted, to the sample; no window is dropped."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.alarms.system import STALE_S
from pipeline.clients.ingest import IngestClient
from pipeline.schema.bundles import bundled
from pipeline.schema.messages import Hello
from pipeline.schema.public import BeatNote, Public, Status
from pipeline.signal.samples import SampleBlock
from pipeline.transport.sockets import wait
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.hub_by_hand import HubByHand, chunk, hub_by_hand
from tests.support.running import (
    DEADLINE_S,
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


def silences(one: HubByHand) -> list[str]:
    """Return the states of the alarm that a source is silent, in order."""
    return [alert.state for alert in one.hub._log.read(1, 1_000) if alert.kind == "no_data"]


def test_a_source_that_waits_for_credit_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for it all the time; once it asks no more, it is."""
    monkeypatch.setattr("pipeline.hub.admission.MOST_ROOM", 5)
    x = SyntheticPatient(PatientConfig(seed=4)).generate(30 * FS).samples
    with hub_by_hand(tmp_path / "log") as one:
        source, credit, number = one.connect("ingest"), 1, 0
        while credit:
            seconds = slice(number * FS, (number + 1) * FS)
            number += 1
            credit = one.accepted(source, chunk(number, x[seconds])).credit
            one.later_s += 0.5
        for _ in range(10):
            assert one.accepted(source, Hello(stream="s", session="a")).credit == 0
            one.later_s += 0.5
            one.turns()
        (status,) = one.hub._state()[1]
        assert (silences(one), status.data_age_s > STALE_S) == ([], True)
        assert "no data" not in status.reason
        one.later_s += STALE_S
        one.turns()
        assert silences(one) == ["on"]


def test_a_source_whose_samples_may_wait_in_the_socket_is_not_silent(tmp_path: Path) -> None:
    """A hub that has not read all that came cannot know."""
    hello = Hello(stream="other")
    [more_than_a_turn_reads] = bundled([hello] * 200, 1 << 19)
    with hub_by_hand(tmp_path / "log") as one:
        one.stop_clock()
        source = one.connect("ingest")
        one.accepted(source, chunk(1))
        one.later_s += STALE_S + 0.5
        assert source.send(more_than_a_turn_reads)
        wait([one.hub._sockets.ingest], DEADLINE_S)
        one.hub.turn()
        assert silences(one) == []
        one.turns()
        assert silences(one) == ["on"]


def test_a_source_is_not_silent_because_a_turn_of_the_hub_took_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has come meanwhile is read first."""
    with hub_by_hand(tmp_path / "log") as one:
        one.stop_clock()
        source = one.connect("ingest")
        one.accepted(source, chunk(1))

        def slow() -> None:
            one.later_s += STALE_S + 0.5

        monkeypatch.setattr(one.hub, "_receive_answers", slow)
        one.hub.turn()
        assert silences(one) == []
