"""What the report of a log says: every minute once, at its time; what a log lacks is said."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.report.content import hour_rows
from monitor.report.log_book import LATEST_S, LogBook
from monitor.report.log_content import WITHOUT_MINUTES, LogContent, log_content_of
from pipeline.constants import CLASSES
from pipeline.schema.alert import episode_of, utc_text
from pipeline.schema.public import Trend
from tests.support.logs import alert

BEGUN = 1_772_402_400.0
"""2026-03-01T22:00:00Z."""


def minute(n: int, **changes: Any) -> Trend:
    """Return minute ``n`` of a stream: 61 beats, one of them of class V."""
    facts: dict[str, Any] = {
        "stream": "bed", "sample": 21_600 * n, "time_s": 60.0 * n, "signal_s": 60.0,
        "analysable_s": 54.0, "atrial_fibrillation_s": 6.0, "bpm_min": 50.0 + n, "bpm_mean": 61.0,
        "bpm_max": 70.0 + n, "beats": 61, "classes": {"N": 60, "S": 0, "V": 1, "F": 0},
        "anomalous": 1, "pauses": 1, "longest_rr_s": 1.0 + n / 100,
        **changes,
    }  # fmt: skip
    return Trend(**facts)


def content_of(book: LogBook) -> LogContent:
    """Return the report of a stream."""
    return log_content_of(book, log="hub.sqlite", log_id="1", software="test", leads=(), system={})


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 120), min_size=1, max_size=3),
    st.floats(0.2, 100.0),
    st.floats(0.0, 90.0),
)
def test_minutes_lie_on_the_clock_that_kept_their_pace(
    lengths: list[int], speed: float, late_s: float
) -> None:
    """Signal in real time is at its times of day; other signal follows itself, without a date."""
    book, began = LogBook("bed"), BEGUN
    begins = []
    for epoch, length in enumerate(lengths):
        begins.append(began - BEGUN)
        for n in range(length):
            recorded = began + 60.0 * (n + 1) / speed + late_s * (n % 3) / 3
            book.take_trend(minute(n, epoch=epoch, utc=utc_text(recorded)))
        began += 60.0 * length / speed + 1000.0
    content = content_of(book)
    placed = [one.begin_s for one in content.minutes]

    assert placed == sorted(placed)
    assert len(placed) == sum(lengths)
    assert content.whole is not None
    assert sum(hour.beats for hour in content.hours) == content.whole.beats == 61 * len(placed)
    assert content.whole.classes == {
        name: sum(hour.classes[name] for hour in content.hours) for name in CLASSES
    }
    assert [hour.end_s for hour in content.hours[:-1]] == [
        hour.begin_s for hour in content.hours[1:]
    ]
    if 0.99 < speed < 1.01:
        assert content.start is not None
    if all(length > 6 for length in lengths) and (speed < 0.7 or speed > 2.0):
        assert content.start is None
        assert content.duration_s == pytest.approx(60.0 * sum(lengths))
    assert json.loads(json.dumps(content.to_dict(), allow_nan=False))["stream"] == "bed"


def test_stamps_of_the_source_go_before_the_clock_of_the_hub() -> None:
    """Two epochs with a pause between lie as far apart as their stamps say, whatever the hub's."""
    book = LogBook("bed")
    for epoch, began in ((0, BEGUN), (1, BEGUN + 1800.0)):
        for n in range(10):
            book.take_trend(
                minute(n, epoch=epoch, utc=utc_text(1e9), event_utc=utc_text(began + 60 * n))
            )
    content = content_of(book)

    assert content.by_source
    assert content.start is not None
    assert content.start.timestamp() == BEGUN
    assert [one.begin_s for one in content.minutes][9:11] == [540.0, 1800.0]
    (hour,) = content.hours
    assert hour.lost_s == pytest.approx(1800 + 600 - 20 * 54.0)
    assert hour_rows("bed", content.start, content.hours)[0]["v_beats"] == 20
    assert content.row()["v_percent"] == round(100 / 61, 2)


def test_an_alarm_has_its_signal_its_acknowledgement_and_its_limit() -> None:
    """All alerts of one alarm make one; who acknowledged it when is not lost."""
    book, episode = LogBook("bed"), episode_of("extreme_bradycardia", 0, 3600)
    facts = {"kind": "extreme_bradycardia", "priority": "high", "episode": episode}
    for seq, (state, reason, at_s) in enumerate(
        (("on", "32 bpm, below 40", 14.0), ("ack", "acknowledged", 20.0), ("off", "over", 30.0)), 7
    ):
        book.take_alert(
            alert(
                round(360 * at_s), state=state, reason=reason, seq=seq, begin_s=10.0,
                end_s=30.0 if state == "off" else None, utc=utc_text(BEGUN + at_s),
                values={"bpm": 32.0, "limit_bpm": 40.0}, **facts,
            )
        )  # fmt: skip
    changed = {"kind": "limits_changed", "episode": "limits_changed-0-9000"}
    book.take_alert(alert(9000, reason="heart rate 45 to 130 bpm", **changed))
    book.take_alert(alert(9000, reason="once", state="off", **changed))
    content = content_of(book)

    (alarm,) = content.high
    assert (alarm.begin_s, alarm.end_s, alarm.message) == (0.0, 20.0, "32 bpm, below 40")
    assert book.seqs_of(alarm) == [7, 8, 9]
    assert content.acknowledged == {episode: utc_text(BEGUN + 20.0)}
    assert content.limits == ["extreme bradycardia 40 bpm"]
    (change,) = content.changes
    assert "45 to 130 bpm" in change
    assert content.missing[0] == WITHOUT_MINUTES
    assert content.row()["beats"] is None
    assert content.row()["extreme_bradycardia"] == 1


@pytest.mark.parametrize("time_s", [1e300, -1e300, 2 * LATEST_S])
def test_a_time_of_no_signal_is_refused(time_s: float) -> None:
    """Whatever a log says, a report has an axis that ends."""
    with pytest.raises(ValueError, match="no time of a signal"):
        LogBook("bed").take_alert(alert(0, time_s=time_s))
    with pytest.raises(ValueError, match="no time of a signal"):
        LogBook("bed").take_trend(minute(0, time_s=time_s))


def test_a_long_log_has_a_table_of_days() -> None:
    """Two minutes forty years apart make no table of a million hours."""
    book = LogBook("bed")
    book.take_trend(minute(0, event_utc="1971-01-01T00:00:00Z"))
    book.take_trend(minute(0, epoch=1, event_utc="2010-01-01T00:00:00Z"))
    content = content_of(book)

    assert len(content.hours) < 40 * 366
    assert sum(hour.beats for hour in content.hours) == 122


def test_a_report_ends_with_the_signal() -> None:
    """The last minute of a stream is as long as its signal."""
    book = LogBook("bed")
    for n, signal_s in enumerate((60.0, 6.0)):
        book.take_trend(minute(n, signal_s=signal_s))

    assert content_of(book).duration_s == 66.0
