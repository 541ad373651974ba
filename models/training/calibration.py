"""Find the scales and thresholds of the live score on the patients of DS1.

    monitor train calibration --half-a FILE --half-b FILE

`calibrate` runs the streaming front end, detector in the loop, over de Chazal's training patients
and computes each component of `pipeline.scoring.live_score` for every beat. The live score meets
patients that its student has never seen, so it is calibrated on such: of DS1's two halves, each is
scored by a student that was trained on the other. Normal beats give the scales. The threshold for a
rate of false alerts is the score above which a normal beat or a false detection begins so many
episodes an hour (`pipeline.alarms.beat_rules`); it is stored for several rates, and
`models.files.calibration.load_calibration` finds those between.

Source of the split: de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51 (2004).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.data.mitdb import DS1, DS1A, DS1B, database_folder
from models.ec57.matching import classes_of, match_beats, match_samples
from models.files.calibration import Calibration, Threshold
from models.files.student import load_student
from models.inference.student import StudentScorer, WindowScorer
from pipeline.alarms.kinds import EPISODE_S
from pipeline.errors import ArtifactError
from pipeline.scoring.live_score import (
    COMPONENTS,
    UNIVERSAL,
    LiveScore,
    LiveScoreConfig,
    Scale,
    Typical,
    contributions_of,
)
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.annotations import read_beats, read_flutter
from replay.records import read_lead

FALSE_ALERTS_PER_HOUR: Final = 6.0
"""The default rate: one in ten minutes."""

RATES_PER_HOUR: Final = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0)
"""Not more: lower thresholds would make one long episode of several."""

_BETWEEN_RECORDS_S: Final = 86_400.0
"""Separates the records on one time line, so that no episode spans two."""


@dataclass(frozen=True, slots=True)
class _ScoredRecord:
    """The components of the live score for the analysable beats of some records."""

    raw: dict[str, NDArray[np.float64]]
    """float64[n] for each component, unscaled; NaN where it has no value yet."""
    times_s: NDArray[np.float64]
    classes: NDArray[np.str_]
    """Class of `models.ec57.matching`, or "-" for a false detection."""
    learning: NDArray[np.bool_]
    """Whether the live score was still learning the patient."""
    hours: float

    @property
    def not_anomalous(self) -> NDArray[np.bool_]:
        """Which of them make a false alert when they are called anomalous."""
        return np.isin(self.classes, ("N", "-"))


def calibrate(
    data: Path, scorer_a: WindowScorer, scorer_b: WindowScorer, on_step: Callable[[str], None]
) -> Calibration:
    """Return the calibration of the live score.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        scorer_a: trained on the records DS1A; scores those of DS1B.
        scorer_b: the other way round.
        on_step: called before each of the 22 records.

    Raises:
        InputError: records of DS1 are missing.
    """
    # 1. Compute the components for every beat, each half by the student of the other.
    folder = database_folder(data)
    parts = []
    for name in DS1:
        on_step(f"record {name}")
        parts.append(_score_record(folder / name, scorer_b if name in DS1A else scorer_a))
    scored = _ScoredRecord(
        raw={name: np.concatenate([part.raw[name] for part in parts]) for name in COMPONENTS},
        times_s=np.concatenate([i * _BETWEEN_RECORDS_S + p.times_s for i, p in enumerate(parts)]),
        classes=np.concatenate([part.classes for part in parts]),
        learning=np.concatenate([part.learning for part in parts]),
        hours=sum(part.hours for part in parts),
    )
    # 2. Scale them by the normal beats.
    scales = _scales(scored)
    # 3. Score every beat, of a known patient and as if it were of an unknown one.
    known = np.concatenate([_scores(part, scales) for part in parts])
    unknown = _universal_scores(scored, scales)
    # 4. Find the threshold for each rate of false alerts.
    classes = sorted(set(scored.classes.tolist()))
    return Calibration(
        records=DS1,
        halves=(DS1A, DS1B),
        beats={name: int((scored.classes == name).sum()) for name in classes},
        hours=round(scored.hours, 3),
        scales=scales,
        thresholds=_thresholds(scored, known, unknown),
        false_alerts_per_hour=FALSE_ALERTS_PER_HOUR,
    )


def half_scorer(description: Path, split: str) -> StudentScorer:
    """Return the student that was trained on one half of DS1, ``ds1a`` or ``ds1b``.

    Raises:
        ArtifactError: it is unusable, or was trained on something else and may have seen the
            patients that it is to score.
    """
    artifact = load_student(description)
    trained_on = artifact.training.split
    if trained_on != split:
        raise ArtifactError(
            f"{description} was trained on split {trained_on!r:.40}, not {split}: train one with "
            f"`monitor train student --split {split}`"
        )
    return StudentScorer(artifact)


def _score_record(path: Path, scorer: WindowScorer) -> _ScoredRecord:
    """Run the front end over a record and compute the components for each beat."""
    info, x = read_lead(path)
    annotated, symbols = read_beats(path)
    segmenter = Segmenter(info.fs_hz)
    parts = [segmenter.push(SampleBlock(0, x)), segmenter.finish()]
    found = np.concatenate([part.samples for part in parts])
    windows = np.concatenate([part.windows for part in parts])
    rr_s = np.concatenate([part.rr_s for part in parts])
    analysable = np.concatenate([part.reasons for part in parts]) == Reason.OK
    scores = np.zeros(len(found), dtype=np.float32)
    scores[analysable] = scorer.score(windows[analysable]).scores

    live = LiveScore(_NO_CALIBRATION)
    raw = np.full((len(COMPONENTS), len(found)), np.nan)
    learning = np.zeros(len(found), dtype=bool)
    for beat in range(len(found)):
        if not analysable[beat]:
            live.skip(float(rr_s[beat]))
            continue
        learning[beat] = live.learning
        values = live.observe(windows[beat], float(rr_s[beat]), float(scores[beat]))
        raw[:, beat] = [values.get(name, np.nan) for name in COMPONENTS]

    classes = np.full(len(found), "-")
    pairs = match_beats(annotated, found, match_samples(info.fs_hz))
    classes[pairs[pairs >= 0]] = classes_of(symbols)[pairs >= 0]
    counted, seconds = analysable.copy(), len(x) / info.fs_hz
    for first, last in read_flutter(path):
        # A detection within ventricular flutter is not a false detection.
        counted &= ~((found >= first) & (found <= last))
        seconds -= (min(last, len(x)) - first) / info.fs_hz
    return _ScoredRecord(
        raw={name: raw[row, counted] for row, name in enumerate(COMPONENTS)},
        times_s=found[counted] / info.fs_hz,
        classes=classes[counted],
        learning=learning[counted],
        hours=seconds / 3600,
    )


_NO_CALIBRATION: Final = LiveScoreConfig(
    scales={name: Scale(median=0.0, p95=1.0) for name in COMPONENTS},
    threshold=math.inf,
    learning_threshold=math.inf,
)


def _scales(scored: _ScoredRecord) -> dict[str, Scale]:
    normal = scored.classes == "N"
    return {
        name: Scale(
            median=float(np.nanmedian(values[normal])),
            p95=float(np.nanquantile(values[normal], 0.95)),
        )
        for name, values in scored.raw.items()
    }


def _scores(scored: _ScoredRecord, scales: Mapping[str, Scale]) -> NDArray[np.float64]:
    """Return the score of each beat of one patient as the live score has it, float64[n]."""
    typical = Typical()
    scores = np.zeros(len(scored.classes))
    for beat, values in enumerate(_values(scored, COMPONENTS)):
        total = sum(contributions_of(values, scales).values())
        scores[beat] = total + (0.0 if scored.learning[beat] else typical.contribution(total))
    return scores


def _universal_scores(scored: _ScoredRecord, scales: Mapping[str, Scale]) -> NDArray[np.float64]:
    """Return what each beat would score if its patient were unknown, float64[n]."""
    return np.array(
        [sum(contributions_of(values, scales).values()) for values in _values(scored, UNIVERSAL)]
    )


def _values(scored: _ScoredRecord, names: tuple[str, ...]) -> Iterator[dict[str, float]]:
    """Yield the components called ``names`` of each beat, but for those without a value."""
    columns = [scored.raw[name].tolist() for name in names]
    for row in zip(*columns, strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if not math.isnan(value)}


def _thresholds(
    scored: _ScoredRecord, known: NDArray[np.float64], unknown: NDArray[np.float64]
) -> tuple[Threshold, ...]:
    """Return the thresholds for each rate, and what of each class they find on these patients."""
    learned = ~scored.learning
    of_known = _at_rates(scored, known, learned)
    of_unknown = _at_rates(scored, unknown, np.ones_like(learned))
    return tuple(
        Threshold(
            false_alerts_per_hour=rate,
            threshold=threshold,
            learning_threshold=learning_threshold,
            false_beats_per_hour=round(
                np.count_nonzero(known[learned & scored.not_anomalous] > threshold) / scored.hours,
                1,
            ),
            sensitivity={
                c: round(float((known[learned & (scored.classes == c)] > threshold).mean()), 4)
                for c in "SVF"
                if c in scored.classes[learned]
            },
        )
        for rate, threshold, learning_threshold in zip(
            RATES_PER_HOUR, of_known, of_unknown, strict=True
        )
    )


def _at_rates(
    scored: _ScoredRecord, scores: NDArray[np.float64], part: NDArray[np.bool_]
) -> list[float]:
    """Return for each of `RATES_PER_HOUR` the lowest threshold that keeps to it.

    Coming from above: far below, where nearly all is anomalous, episodes grow together and
    become fewer again.
    """
    scores, times_s, false = scores[part], scored.times_s[part], scored.not_anomalous[part]
    candidates = iter(np.unique(scores[false])[::-1].tolist())
    threshold = next(candidates)
    thresholds = []
    for rate in RATES_PER_HOUR:
        for lower in candidates:
            if false_alerts(scores > lower, times_s, false) > rate * scored.hours:
                candidates = itertools.chain([lower], candidates)
                break
            threshold = lower
        thresholds.append(round(threshold, 4))
    return thresholds


def false_alerts(
    anomalous: NDArray[np.bool_], times_s: NDArray[np.float64], false: NDArray[np.bool_]
) -> int:
    """Return how many episodes begin with a beat that is ``false``ly called anomalous.

    All bool[n] or float64[n], a row a beat, in order of time.
    """
    called = np.flatnonzero(anomalous)
    begins = np.diff(times_s[called], prepend=-np.inf) > EPISODE_S
    return int(np.count_nonzero(false[called[begins]]))
