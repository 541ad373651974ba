"""What is published of single beats: made only for whoever subscribes."""

from pathlib import Path

import pytest

from pipeline.hub.outbox import Outbox
from pipeline.log.maintenance import Retention
from pipeline.log.store import AlertLog
from pipeline.schema.public import BeatNote, WindowView
from pipeline.stream.beat_report import BeatReport
from pipeline.transport.sockets import Publisher, Subscription
from tests.support.episodes import beat_at
from tests.support.running import until


def report(sample: int, *, anomalous: bool | None, utc_s: float | None = None) -> BeatReport:
    """Return the report of a beat; None: one that cannot be analysed."""
    beat = beat_at(sample, anomalous=anomalous, probabilities=[0.0, 0.25, 0.75, 0.0])
    return BeatReport(beat, [], utc_s, 250.0, ("II",))


def test_an_anomalous_beat_has_its_window_published_besides() -> None:
    """Of others there is the note alone."""
    (topic, note), (window_topic, view) = report(500, anomalous=True).messages()
    [(_, other)] = report(700, anomalous=False).messages()
    [(_, unknown)] = report(900, anomalous=None).messages()

    assert (topic, window_topic) == ("beat/100", "window/100")
    assert isinstance(note, BeatNote)
    assert isinstance(view, WindowView)
    assert (note.time_s, note.beat_class, note.reason, note.lead) == (2.0, "V", "why", "II")
    assert note.shares == {"model": 5.0, "early": 2.333}
    assert note.ticks == view.ticks
    assert isinstance(other, BeatNote)
    assert (other.reason, other.shares, other.ticks, other.beat_class) == ("", None, None, "V")
    assert isinstance(unknown, BeatNote)
    assert (unknown.analysable, unknown.score) == (False, None)


@pytest.mark.parametrize(
    ("utc_s", "text"), [(None, ""), (-1.0, ""), (1e300, ""), (1.5, "1970-01-01T00:00:01.500Z")]
)
def test_a_time_outside_of_the_calendar_is_not_published(utc_s: float | None, text: str) -> None:
    """A hostile source may stamp its samples so that the line leaves it."""
    assert report(500, anomalous=False, utc_s=utc_s).note.event_utc == text


def test_messages_of_beats_are_made_for_whoever_subscribes(tmp_path: Path) -> None:
    """While nobody does, not one report is looked at."""
    with AlertLog(tmp_path / "log.sqlite") as log, Publisher("tcp://127.0.0.1:0") as publisher:
        outbox = Outbox(publisher, log, lambda: 0.0, Retention())
        reports = iter([report(500, anomalous=False)])
        outbox.publish_beats(reports)
        with Subscription(publisher.endpoint, ["beat/"]) as subscription:
            until(lambda: outbox.wants("beat/"))
            outbox.publish_beats(reports)
            until(lambda: next(iter(subscription.receive()), None) is not None)

    assert list(reports) == []
