"""The signal around an alert, from the recording of its stream (``--record``).

A log keeps ten seconds around the first alert of each alarm about the heart. A recording has the
signal of every other alert, too.
"""

from pathlib import Path
from typing import Final

from monitor.inputs import segments_in
from monitor.text import safe_text
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import InputError
from pipeline.schema.public import Alert, SignalStrip
from pipeline.signal.segmenter import Segmenter
from pipeline.stream.strips import STRIP_S, StripRecorder, strip_of
from replay.files.recordings import find_recordings
from replay.recording.source import RecordingSource, Span

_SETTLE_S: Final = 15.0
"""So much signal before the strip settles the filters, and shows which lead is in use."""

_BEYOND_S: Final = 2.0
"""So much behind it leaves the filters with the last value of the strip."""


def recorded_strip(folder: Path, alert: Alert) -> SignalStrip:
    """Return ten seconds of band-passed signal around an alert, as a log keeps them.

    Raises:
        InputError: the folder has no recording of the alert's stream and time, or it cannot be
            read.
    """
    for headers in segments_in(find_recordings(str(folder)))[0]:
        source = RecordingSource(headers, speed=None)
        if source.info.stream == alert.stream:
            strip = _strip(source, alert)
            if strip is not None and strip.mv:
                return strip
    raise InputError(
        f"{folder} has no signal of alert {alert.seq}, stream {safe_text(alert.stream)}, at "
        f"{alert.time_s:.1f} s: name the folder that --record had in that run"
    )


def _strip(source: RecordingSource, alert: Alert) -> SignalStrip | None:
    info, half = source.info, STRIP_S / 2
    begin = alert.sample - round((half + _SETTLE_S) * info.fs_hz)
    end = alert.sample + round((half + _BEYOND_S) * info.fs_hz)
    segmenter = Segmenter(info.fs_hz, leads=len(info.leads))
    recorder = StripRecorder(alert.stream, leads=info.leads)
    for span in source.spans():
        wanted = _cut(span, alert, begin, end)
        for block in [] if wanted is None else source.read(wanted):
            recorder.add(strip_of(alert.epoch, segmenter.push(block)))
    recorder.add(strip_of(alert.epoch, segmenter.finish()))
    at = round(alert.sample * SAMPLING_RATE_HZ / info.fs_hz)
    around = round(half * SAMPLING_RATE_HZ)
    if recorder.end <= at - around:
        return None
    return recorder.published(at - around, at + around, at)


def _cut(span: Span, alert: Alert, begin: int, end: int) -> Span | None:
    """Return what of a span lies between two positions of the alert's own numbering."""
    segment = span.part.segment
    if (segment.log_id, segment.epoch) != (alert.log_id, alert.epoch):
        return None
    first = max(span.first, begin - segment.first_sample)
    last = min(span.end, end - segment.first_sample)
    return span._replace(first=first, end=last) if first < last else None
