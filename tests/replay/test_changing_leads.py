"""A lead appears or vanishes while a source sends: an alarm says so, and no beat is made of it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import EndpointError
from pipeline.schema.public import Alert, Status
from pipeline.signal.samples import SampleBlock
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.player import play
from replay.source import SourceInfo
from tests.support.hub_by_hand import HubByHand, hub_by_hand
from tests.support.running import thread, until

RATE_HZ = 360
BEFORE_S = 4
LATER_S = 12.0
"""Longer than a source that is connected, or beats that wait for a score, keep a stream."""


class Device:
    """A device that was opened with some leads, and from a second on sends others."""

    def __init__(self, leads: tuple[str, ...], then: tuple[str, ...] = ()) -> None:
        self.info = SourceInfo(stream="bed", fs_hz=float(RATE_HZ), leads=leads)
        self._then = then or leads
        self._closed = threading.Event()

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield seconds of a patient without end, or pauses once the leads have changed."""
        for second in range(2 * BEFORE_S):
            leads = self.info.leads if second < BEFORE_S else self._then
            samples = SyntheticPatient(PatientConfig(leads=leads)).generate(RATE_HZ).samples
            yield SampleBlock(second * RATE_HZ, samples if len(leads) > 1 else samples.reshape(-1))
        while not self._closed.wait(0.05):
            yield None

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Be gone."""
        self._closed.set()


def status(one: HubByHand) -> Status | None:
    """Return the status of the stream, once there is one."""
    one.turns(1)
    return next(iter(one.hub._state()[1]), None)


def alerts(one: HubByHand, kind: str) -> list[Alert]:
    """Return the alerts of a kind in the log."""
    one.turns()
    return [alert for alert in one.hub._log.read(1, 1000) if alert.kind == kind]


@pytest.mark.parametrize(
    ("leads", "then"),
    [
        (("II", "V1"), ("II", "V1", "V5")),
        (("II", "V1", "V5"), ("II", "V1")),
        (("II",), ("II", "I")),
    ],
    ids=["one more", "one less", "a second one"],
)
def test_a_source_whose_leads_change_is_an_alarm_until_it_is_started_again(
    tmp_path: Path, leads: tuple[str, ...], then: tuple[str, ...]
) -> None:
    """Its samples would be taken for those of other leads; nothing of them becomes a beat."""
    with hub_by_hand(tmp_path / "log") as one:
        ingest = one.hub.endpoints["ingest"]
        why = f"it sends {len(then)} leads now, and began with {len(leads)}: start the source again"
        failures: list[EndpointError] = []

        def send(stop: object) -> None:
            with pytest.raises(EndpointError) as caught:
                play([Device(leads, then)], ingest, lambda: False)
            failures.append(caught.value)

        with thread(send):
            until(lambda: bool(status(one) and failures))
        assert str(failures[0]) == f"bed: {why}"
        before = status(one)
        assert before is not None
        assert (before.sample, before.ended, before.source_fault) == (
            BEFORE_S * RATE_HZ,
            False,
            why,
        )

        one.later_s = 3.0
        [said] = alerts(one, "no_data")
        assert said.reason == f"nothing from the source for 2 s: {why}"

        one.later_s += LATER_S
        over = threading.Event()
        with thread(lambda stop: play([Device(then)], ingest, lambda: stop() or over.is_set())):
            until(lambda: (now := status(one)) is not None and now.sample == 2 * BEFORE_S * RATE_HZ)
            over.set()
        after = status(one)
        assert after is not None
        assert (after.leads, after.source_fault) == (list(then), "")
        assert [alert.state for alert in alerts(one, "leads_changed")] == ["on", "off"]
        assert [alert.state for alert in alerts(one, "no_data")] == ["on", "off"]
