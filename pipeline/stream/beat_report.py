"""What is published of a beat. Pure: no clock, no I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.schema.public import Alert, BeatNote, WindowView
from pipeline.scoring.beat import Beat


@dataclass(frozen=True, slots=True)
class BeatReport:
    """One beat, ready to be published."""

    beat: Beat
    note: BeatNote
    alerts: list[Alert]
    view: WindowView | None
    """Window and residual, where the beat is anomalous."""


def report_of(
    beat: Beat, fs_hz: float, alerts: list[Alert], event_utc: str, leads: Sequence[str]
) -> BeatReport:
    """Return what is published of a beat with a verdict, or of one that cannot be analysed.

    Args:
        beat: the beat.
        fs_hz: the source's own rate.
        alerts: that it brings.
        event_utc: when it happened; empty where the source sends no stamps.
        leads: the names of the stream's leads.
    """
    stream, epoch, _ = beat.id
    lead = leads[beat.lead]
    rr_s = round(beat.rr_s, 4) if math.isfinite(beat.rr_s) else None
    time_s = round(beat.sample / fs_hz, 4)
    if beat.verdict is None or beat.residual is None:
        note = BeatNote(
            stream=stream,
            epoch=epoch,
            sample=beat.sample,
            time_s=time_s,
            analysable=False,
            rr_s=rr_s,
            event_utc=event_utc,
            lead=lead,
        )
        return BeatReport(beat, note, alerts, None)
    anomalous = beat.verdict.anomalous
    ticks = beat.ticks if anomalous else None
    note = BeatNote(
        stream=stream,
        epoch=epoch,
        sample=beat.sample,
        time_s=time_s,
        score=round(beat.verdict.score, 4),
        threshold=round(beat.verdict.threshold, 4),
        anomalous=anomalous,
        beat_class=beat.beat_class,
        rr_s=rr_s,
        reason=beat.verdict.reason if anomalous else "",
        class_probabilities=beat.class_probabilities,
        shares=beat.contributions if anomalous else None,
        ticks=ticks,
        event_utc=event_utc,
        lead=lead,
        class_leads=[] if beat.second is None else [lead, leads[beat.second_lead]],
    )
    if not anomalous:
        return BeatReport(beat, note, alerts, None)
    view = WindowView(
        stream=stream,
        epoch=epoch,
        sample=beat.sample,
        window=np.round(beat.window.astype(np.float64), 3).tolist(),
        residual=np.round(beat.residual.astype(np.float64), 3).tolist(),
        ticks=ticks,
    )
    return BeatReport(beat, note, alerts, view)
