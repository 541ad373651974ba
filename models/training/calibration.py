"""Find the scales and thresholds of the live score.

    monitor train calibration --half-a FILE --half-b FILE

`calibrate` runs the streaming front end, detector in the loop, over patients that neither student
nor classifier has seen: of DS1's two halves, each is scored by a student that was trained on the
other, svdb by the student that ships, and each record is named by a classifier that was trained
without its patient. Normal beats of DS1 give the scales of the components of
`pipeline.scoring.live_score`.

The threshold for a rate of false alerts is the score above which a normal beat or a false detection
of DS1 or svdb begins that many episodes an hour (`pipeline.alarms.beat_rules`); it is stored for
several rates, and `models.files.calibration.load_calibration` finds those between. While a patient
is still being learned nothing is known but what is common to all. The threshold for these beats is
the one that one in a hundred beats of normal records of the Challenge 2017 exceeds, at the default
rate; at another rate more or fewer in proportion.

Source of the split: de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51 (2004).
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.mitdb import DATABASE, DS1A, DS1B, database_folder
from models.data.streamed_beats import Models, reference_of, stream_beats
from models.data.training_beats import CINC17, DATABASES, NORMAL_RHYTHM, SVDB, record_names
from models.ec57.matching import FALSE_DETECTION
from models.files.calibration import Calibration, Threshold
from models.files.student import load_student
from models.inference.beat_classifier import BeatClassifier, Unseen
from models.inference.student import StudentScorer, WindowScorer
from pipeline.alarms.kinds import EPISODE_S
from pipeline.errors import ArtifactError
from pipeline.scoring.live_score import (
    COMPONENTS,
    LiveScoreConfig,
    Scale,
    class_contribution,
    contributions_of,
)
from pipeline.scoring.typical import Typical

FALSE_ALERTS_PER_HOUR: Final = 6.0
"""The default rate: one in ten minutes."""

RATES_PER_HOUR: Final = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0)
"""Not more: lower thresholds would make one long episode of several."""

LEARNING_SHARE: Final = 0.01
"""Of the normal beats of patients still being learned, above the threshold at the default rate."""

_BETWEEN_RECORDS_S: Final = 86_400.0
"""Separates the records on one time line, so that no episode spans two."""


@dataclass(frozen=True, slots=True)
class _Record:
    """One record: all its beats, in order."""

    raw: NDArray[np.float64]
    """float64[n, len(COMPONENTS)], unscaled; NaN where a component has no value yet."""
    of_class: NDArray[np.float64]
    """What the probabilities of the classes contribute."""
    learning: NDArray[np.bool_]
    """Whether the live score was still learning the patient."""
    held: NDArray[np.bool_]
    """Whether nothing was learned from the beat."""
    counted: NDArray[np.bool_]
    """Whether it can be analysed and lies outside of ventricular flutter."""
    times_s: NDArray[np.float64]
    classes: NDArray[np.str_]
    """Class of `models.ec57.matching`, or `FALSE_DETECTION`."""
    hours: float


@dataclass(frozen=True, slots=True)
class _Counted:
    """The beats of some records that count, with their scores."""

    scores: NDArray[np.float64]
    """As the live score has them."""
    times_s: NDArray[np.float64]
    classes: NDArray[np.str_]
    learning: NDArray[np.bool_]
    hours: float

    @property
    def not_anomalous(self) -> NDArray[np.bool_]:
        """Which of them make a false alert when they are called anomalous."""
        return np.isin(self.classes, ("N", FALSE_DETECTION))


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
    of: dict[str, list[_Record]] = {}
    for database, name in calibration_records(data):
        on_step(f"{database} {name}")
        student = scorers.student
        if database == DATABASE:
            student = scorers.half_b if name in DS1A else scorers.half_a
        path, annotated = folder / database / name, database != CINC17
        of.setdefault(database, []).append(
            _record(path, student, scorers.unseen(name), annotated=annotated)
        )
    # 2. Scale them by the normal beats of DS1.
    scales = _scales(of[DATABASE])
    # 3. Find the threshold for each rate of false alerts.
    scored = _counted(of[DATABASE] + of[SVDB], scales)
    first = _counted(of[CINC17], scales)
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
        thresholds=_thresholds(scored, first.scores[first.learning]),
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


def _record(
    path: Path, student: WindowScorer, classifier: BeatClassifier, *, annotated: bool
) -> _Record:
    """Stream a record and name its beats.

    Beats of a record that is not ``annotated`` are all N.
    """
    beats = stream_beats(path, Models(student, _NO_CALIBRATION))
    known = beats.analysable
    of_class = np.zeros(known.size)
    of_class[known] = class_contribution(
        classifier.probabilities(beats.windows[known], beats.measures[known])
    )
    counted, seconds = known.copy(), beats.seconds
    classes = np.full(known.size, "N")
    if annotated:
        reference = reference_of(path, beats.samples, beats.fs_hz)
        classes = reference.classes
        # A detection within ventricular flutter is not a false detection.
        counted &= ~reference.flutter
        for first, last in reference.flutters:
            seconds -= min(last / beats.fs_hz, beats.seconds) - first / beats.fs_hz
    return _Record(
        raw=beats.raw,
        of_class=of_class,
        learning=beats.learning,
        held=beats.held,
        counted=counted,
        times_s=beats.samples / beats.fs_hz,
        classes=classes,
        hours=seconds / 3600,
    )


_NO_CALIBRATION: Final = LiveScoreConfig(
    scales={name: Scale(median=0.0, p95=1.0) for name in COMPONENTS},
    threshold=math.inf,
    learning_threshold=math.inf,
)


def _scales(records: Sequence[_Record]) -> dict[str, Scale]:
    normal = np.concatenate([one.raw[one.counted & (one.classes == "N")] for one in records])
    return {
        name: Scale(
            median=float(np.nanmedian(values)),
            p95=float(np.nanquantile(values, 0.95)),
        )
        for name, values in zip(COMPONENTS, normal.T, strict=True)
    }


def _counted(records: Sequence[_Record], scales: Mapping[str, Scale]) -> _Counted:
    """Return the beats of records that count, on one time line."""
    scores = [
        (scores_of(one.raw, one.learning, one.held, scales) + one.of_class)[one.counted]
        for one in records
    ]
    return _Counted(
        scores=np.concatenate(scores),
        times_s=np.concatenate(
            [i * _BETWEEN_RECORDS_S + one.times_s[one.counted] for i, one in enumerate(records)]
        ),
        classes=np.concatenate([one.classes[one.counted] for one in records]),
        learning=np.concatenate([one.learning[one.counted] for one in records]),
        hours=sum(one.hours for one in records),
    )


def scores_of(
    raw: NDArray[np.float64],
    learning: NDArray[np.bool_],
    held: NDArray[np.bool_],
    scales: Mapping[str, Scale],
) -> NDArray[np.float64]:
    """Return the live score without the class, float64[n], of the beats of one patient, in order.

    Args:
        raw: float64[n, len(COMPONENTS)], unscaled; NaN where there is no value, and in the whole
            row of a beat that cannot be analysed, whose score is NaN.
        learning: bool[n], whether the patient was still being learned.
        held: bool[n], whether nothing was learned from the beat.
        scales: of each component.
    """
    typical = Typical()
    scores = np.full(len(raw), np.nan)
    for beat in np.flatnonzero(~np.isnan(raw).all(axis=1)).tolist():
        named = zip(COMPONENTS, raw[beat].tolist(), strict=True)
        values = {name: value for name, value in named if not math.isnan(value)}
        total = sum(contributions_of(values, scales).values())
        scores[beat] = total
        if not learning[beat]:
            scores[beat] += typical.contribution(total, learns=not held[beat])
    return scores


def _thresholds(scored: _Counted, unknown: NDArray[np.float64]) -> tuple[Threshold, ...]:
    """Return the thresholds for each rate, and what of each class they find on these patients.

    Args:
        scored: the beats of DS1 and svdb.
        unknown: scores of normal beats of patients still being learned.
    """
    learned, known = ~scored.learning, scored.scores
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
        for rate, threshold in zip(RATES_PER_HOUR, _at_rates(scored, learned), strict=True)
    )


def _at_rates(scored: _Counted, part: NDArray[np.bool_]) -> list[float]:
    """Return for each of `RATES_PER_HOUR` the lowest threshold that keeps to it.

    Coming from above: far below, where nearly all is anomalous, episodes grow together and
    become fewer again.
    """
    scores, times_s, false = scored.scores[part], scored.times_s[part], scored.not_anomalous[part]
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
