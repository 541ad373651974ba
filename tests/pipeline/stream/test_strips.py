"""The signal around an alarm: what is kept of the last 30 s, and cut out of it."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SnapshotError
from pipeline.schema.public import UNSET, Alert, EncodedStrip, SignalStrip, encode_json
from pipeline.signal.ring import SignalRing, SignalRingState, json_of
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.strips import (
    KEPT,
    STRIP_S,
    CutStrip,
    Strip,
    StripRecorder,
    StripRecorderState,
    wants_strip,
)
from tests.support.strips import read_back

HALF = round(STRIP_S * 360 / 2)
NAMES = ["II", "V1", "V5"]


def strip(first: int, n: int, epoch: int = 0, leads: int = 1) -> Strip:
    """Return ``n`` values by their position and lead, in uV, every seventh of them masked."""
    at = np.arange(first, first + n) + 100 * np.arange(leads)[:, np.newaxis]
    return Strip(epoch, first, np.where(at % 7, at % 1_000 / 1e3, np.nan).astype(np.float32))


def added(*strips: Strip) -> StripRecorder:
    """Return a recorder of ``strips``."""
    leads = len(strips[0].mv)
    recorder = StripRecorder("s", leads=NAMES[:leads] if leads > 1 else [""])
    for one in strips:
        recorder.add(one)
    return recorder


def by_objects(strip: Strip, leads: Sequence[str] = (), lead: int = 0) -> SignalStrip:
    """Return a strip as it is published: each value a number, rounded, or None."""
    rows = np.round(strip.mv.astype(np.float64), 3).tolist()
    first, *others = [[None if v != v else v for v in row] for row in rows]
    several = len(rows) > 1
    return SignalStrip(
        stream="s",
        epoch=strip.epoch,
        first_sample=strip.first_sample,
        fs_hz=360.0,
        mv=first,
        leads=list(leads) if several else UNSET,
        more_mv=others if several else UNSET,
        lead=leads[lead] if several else UNSET,
    )


def test_text_of_every_value_is_that_of_its_number() -> None:
    """All that 16 bits can hold, in mV, as JSON has the number next to it; null for a mask."""
    kept = np.arange(-32_768, 32_768).astype(np.int16)
    numbers = [None, *(n / 1e3 for n in range(-32_767, 32_768))]
    assert json_of(kept) == encode_json({"mv": numbers})[len('{"mv":') : -1]
    assert json_of(kept[:0]) == b"[]"


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=60)
    | st.lists(st.floats(-40.0, 40.0, width=32), min_size=1, max_size=60),
    st.integers(1, 3),
)
def test_strip_is_the_same_json_as_of_objects(values: list[float], leads: int) -> None:
    """Byte for byte, whatever a filter gives out: NaN, infinities, -0.0."""
    mv = np.resize(np.array(values, dtype=np.float32), (leads, len(values)))
    recorder = added(Strip(3, 7, mv))
    kept = SignalRing(recorder.state.ring).between(7, 7 + len(values))
    expected = by_objects(Strip(3, 7, kept), NAMES[:leads])
    assert encode_json(recorder.published(0, 10**6, 0)) == encode_json(expected)


def test_encoded_strip_has_the_fields_of_a_public_one() -> None:
    """In the same order, for that is the order in JSON."""
    assert EncodedStrip.__struct_fields__ == SignalStrip.__struct_fields__
    assert EncodedStrip.__struct_defaults__ == SignalStrip.__struct_defaults__


def test_names_that_are_no_text_are_written_as_in_any_message() -> None:
    """A file may have a name in bytes that are no UTF-8."""
    recorder = StripRecorder("M\udcfcller", leads=["I\udcfc", "\x9bII"])
    recorder.add(strip(0, 9, leads=2))
    found = read_back(recorder.published(0, 9, 0))
    assert (found.stream, found.leads, found.lead) == (
        "M\ufffdller",
        ["I\ufffd", "\x9bII"],
        "I\ufffd",
    )
    assert found.signals == by_objects(strip(0, 9, leads=2), NAMES[:2]).signals


@given(st.lists(st.integers(0, 9_000), min_size=1, max_size=12), st.data())
def test_any_part_of_the_last_seconds_is_as_it_came(sizes: list[int], data: st.DataObject) -> None:
    """However it was cut into chunks, wherever the ring starts over, and in every lead."""
    begins, leads = [0, *accumulate(sizes)], data.draw(st.integers(1, 3))
    recorder = added(
        *(strip(begin, n, leads=leads) for begin, n in zip(begins[:-1], sizes, strict=True))
    )
    end = begins[-1]
    first = data.draw(st.integers(0, end))
    last = data.draw(st.integers(first, end))
    kept = max(first, end - KEPT)
    found = read_back(recorder.published(first, last, 0))

    assert recorder.end == end
    whole = strip(0, end, leads=leads).mv[:, kept:last]
    assert found == by_objects(Strip(0, kept, whole), NAMES[:leads])


@pytest.mark.parametrize(
    ("mv", "kept"),
    [
        (0.0004, 0.0), (-0.0006, -0.001), (1.2346, 1.235), (-9.8765, -9.877), (np.nan, None),
        (40.0, 32.767), (-1e9, -32.767), (np.inf, 32.767), (-32.767, -32.767),
    ],
)  # fmt: skip
def test_values_are_kept_to_the_microvolt(mv: float, kept: float | None) -> None:
    """As they are published, in 16 bits; what no ECG reaches is kept as the largest value."""
    recorder = added(Strip(0, 0, np.array([[mv]], dtype=np.float32)))
    assert read_back(recorder.published(0, 1, 0)).mv == [kept]


def test_memory_takes_two_bytes_a_value() -> None:
    """A hub keeps it of every stream and lead."""
    recorder = added(strip(0, 10, leads=3))
    assert recorder.state.ring.values.nbytes == 2 * 3 * KEPT


def test_a_chunk_longer_than_the_memory_leaves_its_end() -> None:
    """As of a replay at full speed."""
    recorder = added(strip(0, 100), strip(100, 3 * KEPT + 17))
    end = 3 * KEPT + 117
    assert read_back(recorder.published(0, end, 0)) == by_objects(strip(end - KEPT, KEPT))


def test_strip_is_returned_once_when_the_signal_is_long_enough() -> None:
    """Five seconds on each side of the alert; a mask is None, and values have three decimals."""
    recorder = added(strip(0, 5_000))
    recorder.want(7, 0, 10.0)
    assert recorder.take() == []
    recorder.add(strip(5_000, 400))

    ((seq, cut),) = recorder.take()
    assert seq == 7
    assert read_back(cut) == by_objects(strip(3_600 - HALF, 2 * HALF))
    assert recorder.take() == []


@pytest.mark.parametrize("after", [strip(9_000, 10), strip(0, 10, 1), strip(10**6, 10)])
def test_what_breaks_the_signal_off_ends_the_strips_that_wait(after: Strip) -> None:
    """A gap, a new epoch: more than there is will not come."""
    recorder = added(strip(0, 5_000))
    recorder.want(7, 0, 13.0)
    recorder.add(after)
    ((seq, cut),) = recorder.take()

    assert seq == 7
    assert read_back(cut) == by_objects(strip(4_680 - HALF, 5_000 - 4_680 + HALF))


def test_cut_strips_survive_a_restart() -> None:
    """They wait for the log as they are kept, in two bytes a value."""
    recorder = added(strip(0, 5_000, leads=2))
    recorder.want(7, 0, 13.0)
    recorder.add(strip(9_000, 10, leads=2))
    state = unpack(pack(recorder.state), StripRecorderState)
    assert [cut.values.nbytes for _, cut in state.cut] == [4 * (5_000 - 4_680 + HALF)]
    assert StripRecorder("s", state, leads=NAMES[:2]).take() == recorder.take()


def test_gap_within_the_memory_is_masked_and_a_longer_one_forgets() -> None:
    """So a strip that spans a gap shows where it is."""
    recorder = added(strip(0, 100), strip(150, 50))
    found = read_back(recorder.published(0, 200, 0)).mv
    assert found[100:150] == [None] * 50
    assert found[150:] == by_objects(strip(150, 50)).mv

    recorder.add(strip(200 + KEPT + 1, 20))
    assert recorder.published(0, 10**9, 0).first_sample == 200 + KEPT + 1


def test_strip_of_another_epoch_is_not_cut() -> None:
    """Its position means another signal."""
    recorder = added(strip(0, 5_000), strip(0, 5_000, 1))
    recorder.want(7, 0, 5.0)
    assert recorder.take(all_of_them=True) == []


def seen(first: int, n: int, *beats: tuple[int, int], epoch: int = 0) -> Strip:
    """Return values of two leads, and the beats (position, lead) that became complete there."""
    return strip(first, n, epoch, leads=2)._replace(beats=np.array(beats).reshape(-1, 2))


def test_strip_has_every_lead_and_names_the_one_in_use_at_its_alert() -> None:
    """That changes with the first beat that is seen in another one."""
    recorder = added(seen(0, 3_000, (1_000, 0), (2_000, 1)), seen(3_000, 3_000, (4_000, 0)))
    for seq, time_s in [(1, 1_990 / 360), (2, 2_000 / 360), (3, 4_000 / 360)]:
        recorder.want(seq, 0, time_s)
    cut = {seq: read_back(one) for seq, one in recorder.take(all_of_them=True)}

    assert [cut[seq].lead for seq in (1, 2, 3)] == ["II", "V1", "II"]
    whole = strip(2_000 - HALF, 2 * HALF, leads=2)
    assert cut[2] == by_objects(whole, NAMES[:2], 1)


@pytest.mark.parametrize("size", [1, 70, 999, 6_000])
def test_lead_in_use_is_the_same_however_the_signal_was_cut(size: int) -> None:
    """Beats belong to their places, not to the chunks that completed them."""
    beats = [(at, (at // 1_100) % 2) for at in range(300, 6_000, 290)]
    chunks = []
    for first in range(0, 6_000, size):
        new = [beat for beat in beats if first <= beat[0] + 180 < first + size]
        chunks.append(seen(first, min(size, 6_000 - first), *new))
    recorder = added(*chunks)
    leads = [recorder.published(0, 6_000, at).lead for at in range(0, 5_500, 50)]
    expected = [
        next((lead for r, lead in reversed(beats) if r <= at), 0) for at in range(0, 5_500, 50)
    ]

    assert leads == [NAMES[lead] for lead in expected]


def test_lead_in_use_outlasts_the_memory_and_a_new_epoch() -> None:
    """No change of it is kept that lies before the signal that is kept."""
    recorder = added(seen(0, 500, (100, 1), (200, 0), (300, 1)), seen(500, 2 * KEPT))
    assert recorder.published(KEPT, KEPT + 9_000, KEPT + 9_000).lead == "V1"
    assert len(recorder.state.used) == 1
    recorder.add(seen(0, 50, epoch=1))
    assert recorder.published(0, 50, 0).lead == "V1"


@pytest.mark.parametrize("used", [[(0, 2)], [(0, -1)]])
def test_state_of_other_leads_is_refused(used: list[tuple[int, int]]) -> None:
    """One that names a lead which is none, or keeps more of them."""
    state = added(seen(0, 500)).state
    with pytest.raises(SnapshotError):
        StripRecorder("s", state, leads=NAMES)
    state.used = used
    with pytest.raises(SnapshotError):
        StripRecorder("s", state, leads=NAMES[:2])


@pytest.mark.parametrize(("leads", "lead"), [(1, 0), (3, 0), (2, 2), (2, -1)])
def test_state_with_strips_of_other_leads_is_refused(leads: int, lead: int) -> None:
    """Else the strip of an alert would name no lead, or the wrong one."""
    state = added(seen(0, 500)).state
    state.cut = [(1, CutStrip(0, 0, lead, np.zeros((leads, 5), dtype=np.int16)))]
    with pytest.raises(SnapshotError):
        StripRecorder("s", state, leads=NAMES[:2])


def test_only_the_beginning_of_a_physiological_alarm_gets_a_strip() -> None:
    """An end, an acknowledgement and what is technical do not."""
    fields = {"stream": "s", "kind": "pause", "priority": "low", "sample": 1, "time_s": 1.0}
    of_the_heart = Alert(**fields, category="physiological", reason="r")
    assert wants_strip(of_the_heart)
    assert not wants_strip(Alert(**fields, category="physiological", reason="r", state="off"))
    assert not wants_strip(Alert(**fields, category="technical", reason="r"))


@pytest.mark.parametrize("leads", [1, 3])
@pytest.mark.parametrize("first", [0, 40, 7_000])
def test_a_ring_refuses_other_leads_than_its_own(leads: int, first: int) -> None:
    """Its kernel would write beside it, or leave what is old."""
    ring = SignalRing(SignalRingState.fresh(2, 100))
    ring.place(0, 0, np.full((2, 10), 1.0, dtype=np.float32))
    with pytest.raises(ValueError, match=f"{leads} leads for a ring of 2"):
        ring.place(0, first, np.zeros((leads, 10), dtype=np.float32))
    assert np.array_equal(ring.between(0, 10), np.ones((2, 10)))
    assert (ring.state.begin, ring.state.end) == (0, 10)
