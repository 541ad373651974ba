"""What is published of a beat, made where somebody wants it. Pure: no clock, no I/O."""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipeline.schema.alert import utc_text
from pipeline.schema.messages import LATEST_UTC_S
from pipeline.schema.public import Alert, BeatNote, Public, WindowView
from pipeline.scoring.beat import Beat

BEAT: Final = "beat/"
WINDOW: Final = "window/"
"""Topics of single beats, before the name of the stream."""


class BeatReport(NamedTuple):
    """One beat with a verdict, or one that cannot be analysed, ready to be published.

    Nearly always nobody subscribes to single beats, so that their messages are made on demand.
    """

    beat: Beat
    alerts: list[Alert]
    """That it brings."""
    utc_s: float | None
    """When it happened, seconds since 1970; None where the source sends no stamps."""
    fs_hz: float
    """The source's own rate."""
    leads: Sequence[str]
    """The names of the stream's leads."""

    def messages(self) -> Iterator[tuple[str, Public]]:
        """Yield what is published of the beat, by topic."""
        yield f"{BEAT}{self.beat.id[0]}", self.note
        if (view := self.view) is not None:
            yield f"{WINDOW}{self.beat.id[0]}", view

    @property
    def note(self) -> BeatNote:
        """What is published of every beat."""
        beat, verdict = self.beat, self.beat.verdict
        lead = self.leads[beat.lead]
        rr_s = round(beat.rr_s, 4) if math.isfinite(beat.rr_s) else None
        time_s = round(beat.sample / self.fs_hz, 4)
        if verdict is None:
            return BeatNote(
                stream=beat.id[0],
                epoch=beat.id[1],
                sample=beat.sample,
                time_s=time_s,
                analysable=False,
                rr_s=rr_s,
                event_utc=event_utc(self.utc_s),
                lead=lead,
            )
        anomalous = verdict.anomalous
        return BeatNote(
            stream=beat.id[0],
            epoch=beat.id[1],
            sample=beat.sample,
            time_s=time_s,
            score=round(verdict.score, 4),
            threshold=round(verdict.threshold, 4),
            anomalous=anomalous,
            beat_class=beat.beat_class,
            rr_s=rr_s,
            reason=verdict.reason if anomalous else "",
            class_probabilities=beat.class_probabilities,
            shares=beat.contributions if anomalous else None,
            ticks=beat.ticks if anomalous else None,
            event_utc=event_utc(self.utc_s),
            lead=lead,
            class_leads=[] if beat.second is None else [lead, self.leads[beat.second_lead]],
        )

    @property
    def view(self) -> WindowView | None:
        """Window and residual of an anomalous beat, None of another one."""
        beat = self.beat
        if beat.verdict is None or not beat.verdict.anomalous or beat.residual is None:
            return None
        return WindowView(
            stream=beat.id[0],
            epoch=beat.id[1],
            sample=beat.sample,
            window=np.round(beat.window.astype(np.float64), 3).tolist(),
            residual=np.round(beat.residual.astype(np.float64), 3).tolist(),
            ticks=beat.ticks,
        )


def event_utc(utc_s: float | None) -> str:
    """Return a time by the source's clock as messages have it; empty where it is not known."""
    # Far from all stamps the line may leave the calendar: a hostile source can do that.
    return utc_text(utc_s) if utc_s is not None and 0 <= utc_s < LATEST_UTC_S else ""
