"""Atrial fibrillation in records, beat by beat, by the measures and the rule that run live.

For training and evaluation: the same measures may be weighed by other weights.
"""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.atrial_fibrillation import (
    BIAS,
    RECORD_LIMIT,
    WEIGHTS,
    AtrialBeats,
    AtrialMeasures,
    AtrialRhythm,
)
from pipeline.alarms.settings import DEFAULTS
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.records import read_lead

FIBRILLATION: Final = "AFIB"
FLUTTER: Final = "AFL"
"""What the annotators of mitdb write for atrial fibrillation and flutter."""

SHIPPED: Final = np.append(WEIGHTS, BIAS)
"""The weights that ship, and the bias behind them."""


class JudgedBeats(NamedTuple):
    """The beats of one record, as found, and what is measured at each."""

    fs_hz: float
    seconds: float
    """Length of the record."""
    samples: NDArray[np.int64]
    """int64[n], R peaks."""
    measures: NDArray[np.float64]
    """float64[n, measures and products], NaN where too little is known."""

    def evidence(self, theta: NDArray[np.float64] = SHIPPED) -> NDArray[np.float64]:
        """Return the evidence of each beat, float64[n], by weights and bias, those that ship."""
        found: NDArray[np.float64] = self.measures @ theta[:-1] + theta[-1]
        return found


def judge_record(record: Path) -> JudgedBeats:
    """Return the beats of the first lead of a record, and their measures.

    Raises:
        InputError: the record cannot be used.
    """
    info, x = read_lead(record, 0)
    segmenter = Segmenter(info.fs_hz)
    measured = AtrialMeasures(AtrialBeats.fresh())
    samples: list[int] = []
    rows = []
    nothing = np.full(WEIGHTS.size, np.nan)
    for segment in (segmenter.push(SampleBlock(0, x)), segmenter.finish()):
        for b, sample in enumerate(segment.samples.tolist()):
            usable = segment.reasons[b] == Reason.OK
            row = measured.of_beat(float(segment.rr_s[b]), segment.windows[b], usable=bool(usable))
            samples.append(sample)
            rows.append(nothing if row is None else row)
    measures = np.array(rows).reshape(len(rows), WEIGHTS.size)
    return JudgedBeats(info.fs_hz, x.size / info.fs_hz, np.array(samples, dtype=np.int64), measures)


def record_evidence(evidence: NDArray[np.float64]) -> float:
    """Return the evidence of a whole record, from that of its beats; -inf where none is known."""
    known = evidence[np.isfinite(evidence)]
    return float(np.clip(known, -RECORD_LIMIT, RECORD_LIMIT).mean()) if known.size else -np.inf


def alarmed_spans(beats: JudgedBeats, evidence: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return from when to when the alarm would be on, seconds, by the rule that runs live."""
    rhythm = AtrialRhythm(DEFAULTS, beats.fs_hz)
    spans: list[tuple[float, float]] = []
    since: int | None = None
    for sample, one in zip(beats.samples.tolist(), evidence.tolist(), strict=True):
        for change in [*rhythm.advance(sample), *rhythm.judge(sample, one)]:
            if change.active:
                since = change.begun_at
            elif since is not None:
                spans.append((since / beats.fs_hz, change.begun_at / beats.fs_hz))
                since = None
    if since is not None:
        spans.append((since / beats.fs_hz, int(beats.samples[-1]) / beats.fs_hz))
    return spans
