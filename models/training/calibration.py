"""Find the scales and thresholds of the live score.

    monitor train calibration --half-a FILE --half-b FILE

`calibrate` runs the streaming front end, detector in the loop, over patients that neither student
nor classifier has seen: of DS1's two halves, each is scored by a student that was trained on the
other, svdb by the student that ships, and each record is named by a classifier that was trained
without its patient. Normal beats of DS1 give the scales of the components of
`pipeline.scoring.live_score`.

The threshold for a rate of false alerts is the score above which a normal beat or a false detection
of DS1 or svdb begins so many episodes an hour (`pipeline.alarms.beat_rules`); it is stored for
several rates, and `models.files.calibration.load_calibration` finds those between. While a patient
is still being learned nothing is known but what is common to all. The threshold for these beats is
the one that one in a hundred beats of normal records of the Challenge 2017 exceeds, at the default
rate; at another rate more or fewer in proportion.

Source of the split: de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51 (2004).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.measured_beats import measured
from models.data.mitdb import DATABASE, DS1A, DS1B, database_folder
from models.data.training_beats import CINC17, DATABASES, NORMAL_RHYTHM, SVDB, record_names
from models.ec57.matching import classes_of, match_beats, match_samples
from models.files.calibration import Calibration, Threshold
from models.files.student import load_student
from models.inference.beat_classifier import BeatClassifier, Unseen
from models.inference.student import StudentScorer, WindowScorer
from pipeline.alarms.kinds import EPISODE_S
from pipeline.errors import ArtifactError
from pipeline.scoring.live_score import (
    COMPONENTS,
    LiveScore,
    LiveScoreConfig,
    Scale,
    Typical,
    class_contribution,
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

LEARNING_SHARE: Final = 0.01
"""Of the normal beats of patients still being learned, above the threshold at the default rate."""

_BETWEEN_RECORDS_S: Final = 86_400.0
"""Separates the records on one time line, so that no episode spans two."""


@dataclass(frozen=True, slots=True)
class _ScoredRecord:
    """The components of the live score for the analysable beats of some records."""

    raw: dict[str, NDArray[np.float64]]
    """float64[n] for each component, unscaled; NaN where it has no value yet."""
    of_class: NDArray[np.float64]
    """What the probabilities of the classes contribute."""
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


class Scorers(NamedTuple):
    """What scores and names each record without having seen its patient."""

    half_a: WindowScorer
    """A student trained on the records DS1A; scores those of DS1B."""
    half_b: WindowScorer
    """The other way round."""
    student: WindowScorer
    """The one to calibrate for, trained on records of DS1; scores all others."""
    unseen: Unseen
    """Returns the classifier for a record."""


def calibrate(data: Path, scorers: Scorers, on_step: Callable[[str], None]) -> Calibration:
    """Return the calibration of the live score.

    Args:
        data: folder with ``mitdb/``, ``svdb/`` and ``cinc17/``.
        scorers: of students and classifiers.
        on_step: called before each record of `calibration_records`.

    Raises:
        InputError: records are missing.
        ArtifactError: no classifier is without a record.
    """
    # 1. Compute the components for every beat, by what has not seen the patient.
    folder = database_folder(data).parent
    of: dict[str, list[_ScoredRecord]] = {}
    for database, name in calibration_records(data):
        on_step(f"{database} {name}")
        student = scorers.student
        if database == DATABASE:
            student = scorers.half_b if name in DS1A else scorers.half_a
        scored = _score_record(
            folder / database / name,
            student,
            scorers.unseen(name),
            annotated=database != CINC17,
        )
        of.setdefault(database, []).append(scored)
    # 2. Scale them by the normal beats of DS1.
    scales = _scales(_together(of[DATABASE]))
    # 3. Find the threshold for each rate of false alerts.
    annotated = of[DATABASE] + of[SVDB]
    scored = _together(annotated)
    known = np.concatenate([_scores(part, scales) for part in annotated])
    first = _together(of[CINC17])
    unknown = np.concatenate([_scores(part, scales) for part in of[CINC17]])[first.learning]
    classes = sorted(set(scored.classes.tolist()))
    return Calibration(
        records={
            database: tuple(name for one, name in calibration_records(data) if one == database)
            for database in of
        },
        halves=(DS1A, DS1B),
        beats={name: int((scored.classes == name).sum()) for name in classes},
        hours=round(scored.hours, 3),
        scales=scales,
        thresholds=_thresholds(scored, known, unknown),
        false_alerts_per_hour=FALSE_ALERTS_PER_HOUR,
    )


def calibration_records(data: Path) -> list[tuple[str, str]]:
    """Return database and name of each record that the live score is calibrated on.

    Raises:
        InputError: a database is missing.
    """
    return [
        (database, name)
        for database, names in record_names(data, DATABASES).items()
        for name in names
        if database != CINC17 or name.startswith(f"{NORMAL_RHYTHM}/")
    ]


def _together(parts: Sequence[_ScoredRecord]) -> _ScoredRecord:
    """Return several records as one."""
    return _ScoredRecord(
        raw={name: np.concatenate([part.raw[name] for part in parts]) for name in COMPONENTS},
        of_class=np.concatenate([part.of_class for part in parts]),
        times_s=np.concatenate([i * _BETWEEN_RECORDS_S + p.times_s for i, p in enumerate(parts)]),
        classes=np.concatenate([part.classes for part in parts]),
        learning=np.concatenate([part.learning for part in parts]),
        hours=sum(part.hours for part in parts),
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


def _score_record(
    path: Path, student: WindowScorer, classifier: BeatClassifier, *, annotated: bool
) -> _ScoredRecord:
    """Run the front end over a record and compute the components for each beat.

    Beats of a record that is not ``annotated`` are all N.
    """
    info, x = read_lead(path)
    segmenter = Segmenter(info.fs_hz)
    parts = [segmenter.push(SampleBlock(0, x)), segmenter.finish()]
    found = np.concatenate([part.samples for part in parts])
    windows = np.concatenate([part.windows for part in parts])
    rr_s = np.concatenate([part.rr_s for part in parts])
    analysable = np.concatenate([part.reasons for part in parts]) == Reason.OK
    scores, of_class = np.zeros(len(found), dtype=np.float32), np.zeros(len(found))
    scores[analysable] = student.score(windows[analysable]).scores
    measures = measured(rr_s, windows, analysable)
    of_class[analysable] = class_contribution(
        classifier.probabilities(windows[analysable], measures[analysable])
    )

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

    counted, seconds = analysable.copy(), len(x) / info.fs_hz
    classes = np.full(len(found), "-" if annotated else "N")
    if annotated:
        annotations, symbols = read_beats(path)
        pairs = match_beats(annotations, found, match_samples(info.fs_hz))
        classes[pairs[pairs >= 0]] = classes_of(symbols)[pairs >= 0]
    for first, last in read_flutter(path) if annotated else ():
        # A detection within ventricular flutter is not a false detection.
        counted &= ~((found >= first) & (found <= last))
        seconds -= (min(last, len(x)) - first) / info.fs_hz
    return _ScoredRecord(
        raw={name: raw[row, counted] for row, name in enumerate(COMPONENTS)},
        of_class=of_class[counted],
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
    return scores + scored.of_class


def _values(scored: _ScoredRecord, names: tuple[str, ...]) -> Iterator[dict[str, float]]:
    """Yield the components called ``names`` of each beat, but for those without a value."""
    columns = [scored.raw[name].tolist() for name in names]
    for row in zip(*columns, strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if not math.isnan(value)}


def _thresholds(
    scored: _ScoredRecord, known: NDArray[np.float64], unknown: NDArray[np.float64]
) -> tuple[Threshold, ...]:
    """Return the thresholds for each rate, and what of each class they find on these patients.

    Args:
        scored: the beats of DS1 and svdb.
        known: their scores.
        unknown: scores of normal beats of patients still being learned.
    """
    learned = ~scored.learning
    return tuple(
        Threshold(
            false_alerts_per_hour=rate,
            threshold=threshold,
            learning_threshold=round(
                float(np.quantile(unknown, 1.0 - LEARNING_SHARE * rate / FALSE_ALERTS_PER_HOUR)), 4
            ),
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
        for rate, threshold in zip(RATES_PER_HOUR, _at_rates(scored, known, learned), strict=True)
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
