"""The signal of a stream from its recording (``--record``): around an alert, or long ago.

A log keeps ten seconds around the first alert of each alarm about the heart, and a dashboard two
minutes. A recording has all of it. It is filtered again on the way, as the monitor had filtered it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from monitor.dashboard.stream_signal import Stretch
from monitor.inputs import segments_in
from monitor.text import safe_text
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import ConfigError, InputError
from pipeline.schema.public import Alert, SignalStrip, decode_strip, encode_json
from pipeline.signal.segmenter import Segmenter
from pipeline.stream.strips import KEPT, STRIP_S, StripRecorder, strip_of
from replay.files.recordings import find_recordings
from replay.recording.files import path_of
from replay.recording.files import segments_in as recorded_segments
from replay.recording.source import RecordingSource, Span, recordings

_SETTLE_S: Final = 15.0
"""So much signal before the strip settles the filters, and shows which lead is in use."""

_BEYOND_S: Final = 2.0
"""So much behind it leaves the filters with the last value of the strip."""


LONGEST_S: Final = KEPT / SAMPLING_RATE_HZ - _BEYOND_S
"""Of a stretch."""


class _Part(NamedTuple):
    """A part of a stream: its log and epoch, and positions at 360 Hz."""

    log_id: str
    epoch: int
    begin: int
    end: int
    at: int
    """The lead that is in use here counts for all of it."""


def recorded_strip(folder: Path, alert: Alert) -> SignalStrip:
    """Return ten seconds of band-passed signal around an alert, as a log keeps them.

    Raises:
        InputError: the folder has no recording of the alert's stream and time, or it cannot be
            read.
    """
    half = round(STRIP_S / 2 * SAMPLING_RATE_HZ)
    for headers in segments_in(find_recordings(str(folder)))[0]:
        source = RecordingSource(headers, speed=None)
        if source.info.stream == alert.stream:
            at = round(alert.sample * SAMPLING_RATE_HZ / source.info.fs_hz)
            part = _Part(alert.log_id, alert.epoch, at - half, at + half, at)
            strip = _strip(source, part)
            if strip is not None:
                return strip
    raise InputError(
        f"{folder} has no signal of alert {alert.seq}, stream {safe_text(alert.stream)}, at "
        f"{alert.time_s:.1f} s: name the folder that --record had in that run"
    )


def recorded_signal(folder: Path, stretch: Stretch) -> SignalStrip | None:
    """Return what a recording has of a stretch, band-passed; None for nothing.

    What is missing between its first and its last value is None in it, too. Only the segments of
    the stream's log and epoch are read; others may be damaged.

    Args:
        folder: in which the monitor records.
        stretch: `LONGEST_S` at most; of a longer one the end.

    Raises:
        InputError: the recording of the stretch cannot be read.
    """
    begin, end = (round(s * SAMPLING_RATE_HZ) for s in (stretch.begin_s, stretch.end_s))
    begin = max(begin, end - round(LONGEST_S * SAMPLING_RATE_HZ))
    part = _Part(stretch.log_id, stretch.epoch, begin, end, end)
    headers = [
        path_of(folder, found.segment, ".hea")
        for found in recorded_segments(folder)
        if found.segment.stream == stretch.stream
        and (found.segment.log_id, found.segment.epoch) == (stretch.log_id, stretch.epoch)
    ]
    for one in recordings(headers)[0]:
        try:
            source = RecordingSource(one, speed=None)
        except ConfigError:  # it has no samples
            continue
        strip = _strip(source, part)
        if strip is not None:
            return strip
    return None


def _strip(source: RecordingSource, part: _Part) -> SignalStrip | None:
    """Return what a recording has of a part of its stream; None for nothing."""
    info = source.info
    segmenter = Segmenter(info.fs_hz, leads=len(info.leads))
    recorder = StripRecorder(info.stream, leads=info.leads)
    for span in _spans_of(source, part):
        for block in source.read(span):
            recorder.add(strip_of(part.epoch, segmenter.push(block)))
    recorder.add(strip_of(part.epoch, segmenter.finish()))
    if recorder.end <= part.begin:
        return None
    strip = decode_strip(encode_json(recorder.published(part.begin, part.end, part.at)))
    return strip if strip.mv else None


def _spans_of(source: RecordingSource, part: _Part) -> Iterator[Span]:
    """Yield what is recorded of a part, and of what its filters need around it."""
    per_s = source.info.fs_hz
    begin = round((part.begin / SAMPLING_RATE_HZ - _SETTLE_S) * per_s)
    end = round((part.end / SAMPLING_RATE_HZ + _BEYOND_S) * per_s)
    for span in source.spans():
        segment = span.part.segment
        if (segment.log_id, segment.epoch) == (part.log_id, part.epoch):
            first = max(span.first, begin - segment.first_sample)
            last = min(span.end, end - segment.first_sample)
            if first < last:
                yield span._replace(first=first, end=last)
