"""A stream keeps the leads that it began with: through the log, a restart and another source."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.schema.messages import Chunk, Hello, Refused
from pipeline.schema.public import Status
from tests.support.hub_by_hand import HubByHand, chunk, hub_by_hand

LONG_S = 12.0
"""Longer than any source that is still connected may be silent."""

LEADS = ["II", "V1", "V5"]


def of_leads(number: int, names: list[str], **fields: Any) -> Chunk:
    """Return the ``number``-th second of zeros of these leads."""
    return chunk(number, np.zeros((len(names), 360)), lead=names[0], leads=names, **fields)


def status(one: HubByHand) -> Status:
    """Return the status of the stream."""
    [found] = one.hub._state()[1]
    return found


def test_leads_of_a_stream_outlast_its_hub(tmp_path: Path) -> None:
    """From the journal and from the snapshot alike; the samples count once, not for each lead."""
    log = tmp_path / "log"
    with hub_by_hand(log) as one:
        source = one.connect("ingest")
        assert one.accepted(source, of_leads(1, LEADS)).next_sample == 360
        assert (status(one).lead, status(one).leads, status(one).sample) == ("II", LEADS, 360)
    again = HubByHand(log)  # as after kill -9: from the journal
    session = again.hub._streams.sessions["s"]
    assert (session.stream.leads, session.stream.next_sample) == (tuple(LEADS), 360)
    assert status(again).leads == LEADS
    again.closed()
    with hub_by_hand(log) as third:  # after an end in order: from the snapshot
        assert status(third).leads == LEADS
        assert third.accepted(third.connect("ingest"), of_leads(2, LEADS)).next_sample == 720
        assert third.hub._streams.sessions["s"].stream.counters.samples == 720


def test_leads_that_wait_for_samples_before_them_are_part_of_the_state(tmp_path: Path) -> None:
    """A snapshot holds them side by side, with their flags; what was missing may still come."""
    late = np.arange(3 * 90, dtype=np.float32).reshape(3, 90)
    flags = (late % 2).astype(np.uint8)
    log = tmp_path / "log"
    one = HubByHand(log)
    source = one.connect("ingest")
    one.accepted(source, of_leads(1, LEADS))
    ahead = chunk(2, late, first_sample=450, flags=flags, lead="II", leads=LEADS)
    assert one.accepted(source, ahead).next_sample == 360
    one.closed()
    with hub_by_hand(log) as again:
        [held] = again.hub._streams.sessions["s"].stream.state.reorder.held
        np.testing.assert_array_equal(held.samples, late)
        assert held.flags is not None
        np.testing.assert_array_equal(held.flags, flags)
        missing = chunk(3, np.zeros((3, 90)), first_sample=360, lead="II", leads=LEADS)
        assert again.accepted(again.connect("ingest"), missing).next_sample == 540


@pytest.mark.parametrize(
    "names",
    [["II", "V1"], ["II", "V5", "V1"], ["II", "V1", "V6"], ["II", "V1", "V5", "V6"], ["II"]],
    ids=["one less", "in another order", "another name", "one more", "one"],
)
def test_leads_that_change_in_mid_stream_are_refused(tmp_path: Path, names: list[str]) -> None:
    """One clear line, also in the status; the alarm of a silent source has it, until it goes on."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        one.accepted(source, of_leads(1, LEADS))
        other = of_leads(2, names)
        if len(names) == 1:
            other = chunk(2, lead="II")

        refused = one.request(source, other)

        assert isinstance(refused, Refused)
        assert "changed its leads to II" in refused.reason
        assert "start the source again" in refused.reason
        assert status(one).source_fault == refused.reason
        one.later_s = 3.0
        one.turns()
        [silent] = status(one).alarms
        assert silent.reason == f"nothing from the source for 2 s: {refused.reason}"
        assert one.accepted(source, of_leads(2, LEADS)).next_sample == 720
        one.turns()
        assert (status(one).source_fault, status(one).alarms) == ("", [])


def test_the_lead_of_a_stream_of_one_does_not_change_either(tmp_path: Path) -> None:
    """Only one that is not named is taken for the same."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        one.accepted(source, chunk(1, lead="II"))
        assert isinstance(one.request(source, chunk(2, lead="V1")), Refused)
        assert one.accepted(source, chunk(2)).next_sample == 720


def test_the_reason_names_long_leads_briefly(tmp_path: Path) -> None:
    """Twelve names of 64 characters leave room for what to do."""
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        one.accepted(source, of_leads(1, [f"{i:064d}" for i in range(12)]))
        refused = one.request(source, of_leads(2, [f"{i:x>64}" for i in range(12)]))
        assert isinstance(refused, Refused)
        assert refused.reason.endswith("start the source again")


def test_a_new_source_of_a_silent_stream_may_have_other_leads(tmp_path: Path) -> None:
    """The stream begins again with an event that says so, also after the death of the hub."""
    log = tmp_path / "log"
    with hub_by_hand(log) as one:
        one.accepted(one.connect("ingest"), chunk(1, lead="II"))
        one.later_s = LONG_S
        one.turns()
        source = one.connect("ingest")
        hello = one.accepted(source, Hello(stream="s", session="b"))
        more = of_leads(1, LEADS, session="b", epoch=hello.epoch + 1)
        assert one.accepted(source, more).next_sample == 360
        one.turns()
        said = [a for a in one.hub._log.read(1, 9) if a.kind == "leads_changed"]
        assert [a.state for a in said] == ["on", "off"]
        assert "II, V1, V5" in said[0].reason
        assert said[0].values == {"former_leads": 1.0, "leads": 3.0}
    with hub_by_hand(log) as again:
        assert again.hub._streams.sessions["s"].stream.leads == tuple(LEADS)


def test_a_state_with_leads_that_no_stream_has_is_refused(tmp_path: Path) -> None:
    """A damaged log loses that stream alone, whatever its bytes say."""
    with hub_by_hand(tmp_path / "log") as one:
        one.accepted(one.connect("ingest"), of_leads(1, LEADS))
        streams = one.hub._streams
        state = streams.sessions["s"].state
        for names in (["II", "II"], [f"L{i}" for i in range(13)]):
            with pytest.raises(SnapshotError):
                streams.restored("s", 360.0, msgspec.structs.replace(state, leads=names))


def test_another_lead_of_the_same_heart_changes_no_beat(
    tmp_path: Path, demo: NDArray[np.float32]
) -> None:
    """The first lead stays in use, and its R peaks are the beats."""
    x = demo[: 360 * 20]
    seen = []
    for leads in (1, 2):
        with hub_by_hand(tmp_path / f"log{leads}") as one:
            source = one.connect("ingest")
            for number in range(1, 21):
                samples = x[360 * (number - 1) : 360 * number]
                message = chunk(number, samples, lead="II")
                if leads > 1:
                    both = np.stack([samples, -0.5 * samples])
                    message = chunk(number, both, lead="II", leads=["II", "V1"])
                one.accepted(source, message)
            stream = one.hub._streams.sessions["s"].stream
            seen.append((stream.pending, [b.sample for b in stream.beats.waiting]))
    assert seen[0] == seen[1]
    assert seen[0][0] > 10
