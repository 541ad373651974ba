"""The signal around an alarm: what is kept of the last minute, and cut out of it."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.schema.public import Alert
from pipeline.stream.strips import KEPT, STRIP_S, Strip, StripRecorder, public_strip, wants_strip

HALF = round(STRIP_S * 360 / 2)


def strip(first: int, n: int, epoch: int = 0) -> Strip:
    """Return ``n`` values by their position, every seventh of them masked."""
    at = np.arange(first, first + n)
    return Strip(epoch, first, np.where(at % 7, at % 1_000, np.nan).astype(np.float32))


def added(*strips: Strip) -> StripRecorder:
    """Return a recorder of ``strips``."""
    recorder = StripRecorder("s")
    for one in strips:
        recorder.add(one)
    return recorder


@given(st.lists(st.integers(0, 9_000), min_size=1, max_size=12), st.data())
def test_any_part_of_the_last_minute_is_as_it_came(sizes: list[int], data: st.DataObject) -> None:
    """However it was cut into chunks, and wherever the ring starts over."""
    begins = [0, *accumulate(sizes)]
    recorder = added(*map(strip, begins[:-1], sizes))
    end = begins[-1]
    first = data.draw(st.integers(0, end))
    last = data.draw(st.integers(first, end))
    kept = max(first, end - KEPT)
    found = recorder.signal(first, last)

    assert recorder.end == end
    assert found.first_sample == kept
    np.testing.assert_array_equal(found.mv, strip(0, end).mv[kept:last])


def test_a_chunk_longer_than_the_memory_leaves_its_end() -> None:
    """As of a replay at full speed."""
    recorder = added(strip(0, 100), strip(100, 3 * KEPT + 17))
    end = 3 * KEPT + 117
    assert recorder.signal(0, end).first_sample == end - KEPT
    np.testing.assert_array_equal(recorder.signal(0, end).mv, strip(end - KEPT, KEPT).mv)


def test_strip_is_returned_once_when_the_signal_is_long_enough() -> None:
    """Five seconds on each side of the alert; a mask is None, and values have three decimals."""
    recorder = added(strip(0, 5_000))
    recorder.want(7, 0, 10.0)
    assert recorder.take() == []
    recorder.add(strip(5_000, 400))

    assert recorder.take() == [(7, public_strip("s", strip(3_600 - HALF, 2 * HALF)))]
    assert recorder.take() == []


@pytest.mark.parametrize("after", [strip(9_000, 10), strip(0, 10, 1), strip(10**6, 10)])
def test_what_breaks_the_signal_off_ends_the_strips_that_wait(after: Strip) -> None:
    """A gap, a new epoch: more than there is will not come."""
    recorder = added(strip(0, 5_000))
    recorder.want(7, 0, 13.0)
    recorder.add(after)
    ((seq, cut),) = recorder.take()

    assert seq == 7
    assert cut == public_strip("s", strip(4_680 - HALF, 5_000 - 4_680 + HALF))


def test_gap_within_the_memory_is_masked_and_a_longer_one_forgets() -> None:
    """So a strip that spans a gap shows where it is."""
    recorder = added(strip(0, 100), strip(150, 50))
    found = recorder.signal(0, 200).mv
    assert np.isnan(found[100:150]).all()
    np.testing.assert_array_equal(found[150:], strip(150, 50).mv)

    recorder.add(strip(200 + KEPT + 1, 20))
    assert recorder.signal(0, 10**9).first_sample == 200 + KEPT + 1


def test_strip_of_another_epoch_is_not_cut() -> None:
    """Its position means another signal."""
    recorder = added(strip(0, 5_000), strip(0, 5_000, 1))
    recorder.want(7, 0, 5.0)
    assert recorder.take(all_of_them=True) == []


def test_only_the_beginning_of_a_physiological_alarm_gets_a_strip() -> None:
    """An end, an acknowledgement and what is technical do not."""
    fields = {"stream": "s", "kind": "pause", "priority": "low", "sample": 1, "time_s": 1.0}
    of_the_heart = Alert(**fields, category="physiological", reason="r")
    assert wants_strip(of_the_heart)
    assert not wants_strip(Alert(**fields, category="physiological", reason="r", state="off"))
    assert not wants_strip(Alert(**fields, category="technical", reason="r"))
