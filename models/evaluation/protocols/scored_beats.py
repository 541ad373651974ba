"""An annotated record, scored by the stream beat by beat: detector, live score, threshold.

A record runs through `pipeline.stream.embedded`, the same code as the live monitor, from its first
sample. The detected beats are paired with the annotation by the rules of `models.ec57.matching`.
The stream has no access to the annotation.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
from replay.headers import load_header
from replay.lead_sets.asked import AskedLeads, asked_indices
from replay.records import RecordSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBeats:
    """Beats, scored by the stream, one row each, false detections included."""

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
        return ScoredBeats(
            records=self.records[rows],
            times_s=self.times_s[rows],
            classes=self.classes[rows],
            found=self.found[rows],
            scores=self.scores[rows],
            alerted=self.alerted[rows],
            raised=self.raised[rows],
            strips=None if self.strips is None else self.strips[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRecord:
    """One record after its learning period."""

    name: str
    leads: tuple[str, ...]
    """That were watched."""
    hours: float
    """Counted time."""
    beats: ScoredBeats
    alerts: dict[str, int]
    """Alerts raised in the counted time, by kind; ``anomalous_beat`` is one of them."""


def score_record(
    path: Path,
    scorer: Scorer,
    config: LiveScoreConfig,
    *,
    leads: AskedLeads = None,
    keep_strips: bool = False,
) -> ScoredRecord:
    """Run a record through the stream and pair the detected beats with the annotation.

    The stream sees the record from its beginning, so that it can learn the patient; the first
    `LEARNING_S` seconds do not count. Pairs are made over the whole record: a pair counts if
    its annotation lies in the counted time, a false detection if it lies there itself. Episodes
    of ventricular flutter, which has no beats, are no counted time. ``leads`` are watched together,
    by default the one that is usual for rhythm.

    Raises:
        InputError: the record cannot be used, has no annotation, or ends within the learning
            period.
        LeadError: it has no such lead.
    """
    indices = asked_indices(load_header(path), leads)
    annotated, symbols = read_beats(path, lead=indices[0])
    source = RecordSource(path, leads=indices, speed=None)
    info = source.info
    counted_from = LEARNING_S * info.fs_hz
    seconds = (info.total_samples or 0) / info.fs_hz
    if seconds <= LEARNING_S:
        raise InputError(f"record {path} ends within the learning period of {LEARNING_S:g} s")
    recorder = _StripRecorder(scorer) if keep_strips else None
    runner = EmbeddedRunner(info.stream, info.fs_hz, recorder or scorer, config, leads=info.leads)
    notes: list[BeatNote] = []
    alerts: Counter[str] = Counter()
    raised: set[int] = set()
    blocks = (block for block in source.blocks() if block is not None)
    # 1. Run the stream.
    for outcome in runner.run(blocks):
        notes += outcome.notes
        begun = [alert for alert in outcome.alerts if alert.state == "on"]
        alerts.update(alert.kind for alert in begun if alert.sample >= counted_from)
        raised.update(alert.sample for alert in begun if alert.kind == "anomalous_beat")

    # 2. Pair annotated and detected beats over the whole record.
    found = np.array([note.sample for note in notes], dtype=np.int64)
    pairs = match_beats(annotated, found, match_samples(info.fs_hz))
    # 3. Leave out the learning period and ventricular flutter.
    counted = annotated >= counted_from
    false = ~np.isin(np.arange(found.size), pairs) & (found >= counted_from)
    hours = (seconds - LEARNING_S) / 3600
    for first, last in read_flutter(path, lead=indices[0]):
        counted &= (annotated < first) | (annotated > last)
        false &= (found < first) | (found > last)
        hours -= (
            max(0.0, min(last / info.fs_hz, seconds) - max(first / info.fs_hz, LEARNING_S)) / 3600
        )
    # 4. A row for each annotated beat, then one for each false detection.
    rows = np.concatenate((pairs[counted], np.flatnonzero(false)))
    scores, alerted = _scores(notes)
    return ScoredRecord(
        name=path.name,
        leads=info.leads,
        hours=hours,
        beats=ScoredBeats(
            records=np.full(rows.size, path.name),
            times_s=np.concatenate((annotated[counted], found[false])) / info.fs_hz,
            classes=np.concatenate(
                (classes_of(symbols)[counted], np.full(np.count_nonzero(false), FALSE_DETECTION))
            ),
            found=rows >= 0,
            scores=scores[rows],
            alerted=alerted[rows],
            raised=np.array([*(note.sample in raised for note in notes), False])[rows],
            strips=None if recorder is None else _strips(notes, recorder.strips())[rows],
        ),
        alerts=dict(sorted(alerts.items())),
    )


def pooled(records: Sequence[ScoredRecord]) -> ScoredBeats:
    """Return the beats of all records, in their order; at least one record."""
    parts = [record.beats for record in records]
    strips = [part.strips for part in parts if part.strips is not None]
    return ScoredBeats(
        records=np.concatenate([part.records for part in parts]),
        times_s=np.concatenate([part.times_s for part in parts]),
        classes=np.concatenate([part.classes for part in parts]),
        found=np.concatenate([part.found for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        alerted=np.concatenate([part.alerted for part in parts]),
        raised=np.concatenate([part.raised for part in parts]),
        strips=np.concatenate(strips) if strips else None,
    )


def ranked(beats: ScoredBeats) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.str_]]:
    """Return scores, verdicts and classes of the beats that take part in AUC and AP.

    Anomalous beats without a score get one below all others; normal ones take no part.

    Returns:
        Finite scores, float32[n]; whether each beat is anomalous, bool[n]; its class, str[n], that
        of a false detection being N.
    """
    anomalous = np.isin(beats.classes, ANOMALOUS)
    scored = np.isfinite(beats.scores)
    lowest = beats.scores[scored].min(initial=0.0) - 1.0
    scores = np.where(scored, beats.scores, np.float32(lowest)).astype(np.float32)
    part = scored | anomalous
    classes = np.where(beats.classes == FALSE_DETECTION, "N", beats.classes)
    return scores[part], anomalous[part], classes[part]


# The arrays below have one row more than there are notes, so that the index -1 of a missed beat
# finds an empty one.


def _scores(notes: Sequence[BeatNote]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the score of each note, NaN where it has none, and whether it is anomalous."""
    scores = np.array([*(note.score for note in notes), None], dtype=np.float32)
    return scores, np.array([*(note.anomalous for note in notes), False])


def _strips(notes: Sequence[BeatNote], recorded: NDArray[np.float16]) -> NDArray[np.float16]:
    """Return window and residual of each note, NaN where it has no score."""
    strips = np.full((len(notes) + 1, 2, WINDOW_SAMPLES), np.nan, dtype=np.float16)
    strips[[i for i, note in enumerate(notes) if note.score is not None]] = recorded
    return strips


class _StripRecorder:
    """Passes windows on to a scorer and keeps them with their residuals, in their order."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._parts = [np.empty((0, 2, WINDOW_SAMPLES), dtype=np.float16)]

    def score(
        self,
        windows: NDArray[np.float32],
        measures: NDArray[np.float32],
        second: NDArray[np.float32] | None = None,
    ) -> ScoredBatch:
        """Score as the scorer does."""
        scored = self._scorer.score(windows, measures, second)
        self._parts.append(np.stack((windows, scored.residuals), axis=1).astype(np.float16))
        return scored

    def strips(self) -> NDArray[np.float16]:
        """Return window and residual of everything scored so far, [n, 2, 320]."""
        return np.concatenate(self._parts)
