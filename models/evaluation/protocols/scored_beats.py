"""What the stream says of an annotated record, beat by beat: detector, live score, threshold.

A record runs through `pipeline.stream.embedded`, the same code as the live monitor, from its first
sample; what it tells is paired with the annotation by the rules of `models.ec57.matching`. Nothing
here looks at an annotation before the stream has spoken.
"""

from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.ec57.matching import (
    ANOMALOUS,
    FALSE_DETECTION,
    LEARNING_S,
    classes_of,
    match_beats,
    match_samples,
)
from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import InputError
from pipeline.schema.public import BeatNote
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import ScoredBatch, Scorer
from pipeline.stream.embedded import EmbeddedRunner
from replay.annotations import read_beats, read_flutter
from replay.records import RecordSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBeats:
    """Beats and what the stream said of them, one row each, false detections included."""

    records: NDArray[np.str_]
    times_s: NDArray[np.float64]
    """From the beginning of the record: of the annotation, or of the false detection."""
    classes: NDArray[np.str_]
    """One of `models.ec57.matching.CLASSES`, or `FALSE_DETECTION`."""
    found: NDArray[np.bool_]
    """Whether the detector found the beat."""
    scores: NDArray[np.float32]
    """The live score; NaN of a beat that was not found or could not be analysed."""
    alerted: NDArray[np.bool_]
    """Whether the beat was called anomalous."""
    raised: NDArray[np.bool_]
    """Whether it raised an alert: the first of an episode of anomalous beats does."""
    strips: NDArray[np.float16] | None = None
    """[n, 2, 320]: window and residual, NaN where there is no score; None unless asked for."""

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "ScoredBeats":
        """Return these rows."""
        taken: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            taken[field.name] = None if column is None else column[rows]
        return ScoredBeats(**taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRecord:
    """One record after its learning period."""

    name: str
    hours: float
    """Counted time."""
    beats: ScoredBeats
    alerts: dict[str, int]
    """Alerts raised in the counted time, by kind; that of an anomalous beat is one of them."""


def score_record(
    path: Path, scorer: Scorer, config: LiveScoreConfig, *, keep_strips: bool = False
) -> ScoredRecord:
    """Run a record through the stream and pair what it says with the annotation.

    The stream sees the record from its beginning, so that it can learn the patient; the first
    `LEARNING_S` seconds do not count. Pairs are made over the whole record: a pair counts if
    its annotation lies in the counted time, a false detection if it lies there itself. Episodes
    of ventricular flutter, which has no beats, are no counted time.

    Raises:
        InputError: the record cannot be used, has no annotation, or ends within the learning
            period.
    """
    annotated, symbols = read_beats(path)
    source = RecordSource(path, speed=None)
    info = source.info
    counted_from = LEARNING_S * info.fs_hz
    seconds = (info.total_samples or 0) / info.fs_hz
    if seconds <= LEARNING_S:
        raise InputError(f"record {path} ends within the learning period of {LEARNING_S:g} s")
    remembering = _RememberingScorer(scorer) if keep_strips else None
    runner = EmbeddedRunner(info.stream, info.fs_hz, remembering or scorer, config)
    notes: list[BeatNote] = []
    alerts: Counter[str] = Counter()
    raised: set[int] = set()
    blocks = (block for block in source.blocks() if block is not None)
    for outcome in runner.run(blocks):
        notes += outcome.beats
        begun = [alert for alert in outcome.alerts if alert.state == "on"]
        alerts.update(alert.kind for alert in begun if alert.sample >= counted_from)
        raised.update(alert.sample for alert in begun if alert.kind == "anomalous_beat")

    found = np.array([note.sample for note in notes], dtype=np.int64)
    pairs = match_beats(annotated, found, match_samples(info.fs_hz))
    counted = annotated >= counted_from
    alone = ~np.isin(np.arange(found.size), pairs) & (found >= counted_from)
    hours = (seconds - LEARNING_S) / 3600
    for first, last in read_flutter(path):
        counted &= (annotated < first) | (annotated > last)
        alone &= (found < first) | (found > last)
        hours -= (
            max(0.0, min(last / info.fs_hz, seconds) - max(first / info.fs_hz, LEARNING_S)) / 3600
        )
    of = np.concatenate((pairs[counted], np.flatnonzero(alone)))
    beats = _told(notes, raised, of, None if remembering is None else remembering.strips())
    return ScoredRecord(
        name=path.name,
        hours=hours,
        beats=ScoredBeats(
            records=np.full(of.size, path.name),
            times_s=np.concatenate((annotated[counted], found[alone])) / info.fs_hz,
            classes=np.concatenate(
                (classes_of(symbols)[counted], np.full(np.count_nonzero(alone), FALSE_DETECTION))
            ),
            **beats,
        ),
        alerts=dict(sorted(alerts.items())),
    )


def together(records: list[ScoredRecord]) -> ScoredBeats:
    """Return the beats of all records, in their order; at least one record."""
    joined: dict[str, Any] = {}
    for field in fields(ScoredBeats):
        values = [getattr(record.beats, field.name) for record in records]
        joined[field.name] = None if values[0] is None else np.concatenate(values)
    return ScoredBeats(**joined)


def ranked(beats: ScoredBeats) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.str_]]:
    """Return scores, float32[n], finite, of the beats that take part in AUC and AP.

    And which of them are anomalous, bool[n], and their classes, a false detection as N, str[n].
    Anomalous beats without a score get one below all others; normal ones take no part.
    """
    anomalous = np.isin(beats.classes, ANOMALOUS)
    scored = np.isfinite(beats.scores)
    lowest = beats.scores[scored].min(initial=0.0) - 1.0
    scores = np.where(scored, beats.scores, np.float32(lowest)).astype(np.float32)
    part = scored | anomalous
    classes = np.where(beats.classes == FALSE_DETECTION, "N", beats.classes)
    return scores[part], anomalous[part], classes[part]


def _told(
    notes: list[BeatNote],
    raised: set[int],
    of: NDArray[np.int64],
    strips: NDArray[np.float16] | None,
) -> dict[str, Any]:
    """Return the columns of `ScoredBeats` that the notes of index ``of`` fill; -1 is no note."""
    # One row more than notes, so that the index -1 of a missed beat finds an empty one.
    scores = np.full(len(notes) + 1, np.nan, dtype=np.float32)
    alerted = np.zeros(len(notes) + 1, dtype=bool)
    analysed = [i for i, note in enumerate(notes) if note.score is not None]
    scores[analysed] = [notes[i].score for i in analysed]
    alerted[:-1] = [note.anomalous for note in notes]
    columns: dict[str, Any] = {
        "found": of >= 0,
        "scores": scores[of],
        "alerted": alerted[of],
        "raised": np.array([*(note.sample in raised for note in notes), False])[of],
        "strips": None,
    }
    if strips is not None:
        all_strips = np.full((len(notes) + 1, 2, WINDOW_SAMPLES), np.nan, dtype=np.float16)
        all_strips[analysed] = strips
        columns["strips"] = all_strips[of]
    return columns


class _RememberingScorer:
    """Passes windows on to a scorer and keeps them with their residuals, in their order."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._parts = [np.empty((0, 2, WINDOW_SAMPLES), dtype=np.float16)]

    def score(self, windows: NDArray[np.float32]) -> ScoredBatch:
        """Score as the scorer does."""
        scored = self._scorer.score(windows)
        self._parts.append(np.stack((windows, scored.residuals), axis=1).astype(np.float16))
        return scored

    def strips(self) -> NDArray[np.float16]:
        """Return window and residual of everything scored so far, [n, 2, 320]."""
        return np.concatenate(self._parts)
