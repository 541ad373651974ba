"""Scales and thresholds of the live score, found on the patients of DS1.

`calibrate` runs the streaming front end, detector in the loop, over de Chazal's training patients
and asks each witness of `pipeline.scoring.live_score` about every beat. The live score meets
patients that its student has never seen, so it is calibrated on such: of DS1's two halves, each is
scored by a student that was trained on the other. Normal beats give the scales. The threshold for a
rate of false alerts is the score above which a normal beat or a false detection begins so many
episodes an hour (`pipeline.alarms.beat_rules`); it is stored for several rates, and
`load_calibration` finds those between.

The result lies beside the weights of the student that runs live, with their checksum: it is true
for a student of that network and training alone.

Source of the split: de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51 (2004).
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.data.protocol_beats import DS1, DS1A, DS1B, database_folder
from models.ec57.matching import classes_of, match_beats, match_samples
from models.files.atomic_write import write_atomically
from models.files.model_file import read_model_file
from models.files.student_artifact import SHIPPED_STUDENT, load_artifact
from models.inference.student import StudentScorer
from pipeline.alarms.kinds import EPISODE_S
from pipeline.errors import ArtifactError, ConfigError
from pipeline.scoring.live_score import (
    COMPONENTS,
    UNIVERSAL,
    LiveScore,
    LiveScoreConfig,
    Scale,
    Typical,
    contributions_of,
)
from pipeline.scoring.protocols import Scorer
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.annotations import read_beats, read_flutter
from replay.records import read_lead

FORMAT: Final = 3
SHIPPED_CALIBRATION: Final = SHIPPED_STUDENT.with_name("live_score.json")

FALSE_ALERTS_PER_HOUR: Final = 6.0
"""Where nobody asks for another rate: one in ten minutes."""

RATES_PER_HOUR: Final = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0)
"""Not more: lower thresholds would make one long episode of several."""

_BETWEEN_RECORDS_S: Final = 86_400.0
"""Keeps the records apart on one time line, lest an episode span two."""

_MAX_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class _ScoredRecord:
    """What the witnesses said of the analysable beats of some records."""

    raw: dict[str, NDArray[np.float64]]
    """float64[n] for each witness, NaN where it could not speak."""
    times_s: NDArray[np.float64]
    classes: NDArray[np.str_]
    """Class of `models.ec57.matching`, or "-" for a false detection."""
    learning: NDArray[np.bool_]
    """Whether the patient was still unknown."""
    hours: float

    @property
    def not_anomalous(self) -> NDArray[np.bool_]:
        """Which of them make a false alert when they are called anomalous."""
        return np.isin(self.classes, ("N", "-"))


def calibrate(
    data: Path, scorer_a: Scorer, scorer_b: Scorer, on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Return the calibration as it is stored, apart from the student's checksum.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        scorer_a: trained on the records DS1A; scores those of DS1B.
        scorer_b: the other way round.
        on_step: told of each of the 22 records.

    Raises:
        InputError: records of DS1 are missing.
    """
    folder = database_folder(data)
    parts = []
    for name in DS1:
        on_step(f"record {name}")
        parts.append(_hear(folder / name, scorer_b if name in DS1A else scorer_a))
    heard = _ScoredRecord(
        raw={witness: np.concatenate([p.raw[witness] for p in parts]) for witness in COMPONENTS},
        times_s=np.concatenate([i * _BETWEEN_RECORDS_S + p.times_s for i, p in enumerate(parts)]),
        classes=np.concatenate([part.classes for part in parts]),
        learning=np.concatenate([part.learning for part in parts]),
        hours=sum(part.hours for part in parts),
    )
    scales = _scales(heard)
    known = np.concatenate([_scores(part, scales) for part in parts])
    unknown = _universal_scores(heard, scales)
    return {
        "format": FORMAT,
        "records": list(DS1),
        "halves": [list(DS1A), list(DS1B)],
        "beats": {c: int((heard.classes == c).sum()) for c in sorted(set(heard.classes.tolist()))},
        "hours": round(heard.hours, 3),
        "scales": {
            name: {"median": scale.median, "p95": scale.p95} for name, scale in scales.items()
        },
        "thresholds": _thresholds(heard, known, unknown),
        "false_alerts_per_hour": FALSE_ALERTS_PER_HOUR,
    }


def half_scorer(description: Path, split: str) -> StudentScorer:
    """Return the student that was trained on one half of DS1, ``ds1a`` or ``ds1b``.

    Raises:
        ArtifactError: it is unusable, or was trained on something else and may know the patients
            that it is to score.
    """
    artifact = load_artifact(description)
    trained_on = artifact.training.get("split")
    if trained_on != split:
        raise ArtifactError(
            f"{description} was trained on split {trained_on!r:.40}, not {split}: train one with "
            f"`monitor train student --split {split}`"
        )
    return StudentScorer(artifact)


def save_calibration(
    calibration: Mapping[str, Any],
    path: Path = SHIPPED_CALIBRATION,
    student: Path = SHIPPED_STUDENT,
) -> None:
    """Write a calibration beside the student that it is true for."""
    content = {**calibration, "weights_sha256": load_artifact(student).sha256}
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def load_calibration(
    path: Path = SHIPPED_CALIBRATION,
    student: Path = SHIPPED_STUDENT,
    *,
    false_alerts_per_hour: float | None = None,
) -> LiveScoreConfig:
    """Return the calibration stored beside ``student``, for a rate of false alerts.

    Between two stored rates the threshold is interpolated over the logarithm of the rate.

    Raises:
        ArtifactError: it is missing, malformed, or was made for other weights.
        ConfigError: the rate lies outside of what was calibrated.
    """
    again = "calibrate again with `monitor train calibration`"
    try:
        content = json.loads(read_model_file(path, _MAX_BYTES, again))
        if content["format"] != FORMAT:
            raise ArtifactError(f"{path} has format {content['format']}, not {FORMAT}: {again}")
        made_for = content["weights_sha256"]
        scales = {
            str(name): Scale(median=float(scale["median"]), p95=float(scale["p95"]))
            for name, scale in content["scales"].items()
        }
        if set(scales) != set(COMPONENTS):
            raise ValueError(f"witnesses {sorted(scales)}")
        stored = np.array(
            [
                (row["false_alerts_per_hour"], row["threshold"], row["learning_threshold"])
                for row in content["thresholds"]
            ],
            dtype=np.float64,
        ).reshape(-1, 3)
        default = float(content["false_alerts_per_hour"])
        usable = bool(len(stored)) and bool(np.isfinite(stored).all()) and stored[0, 0] > 0
        if not usable or (np.diff(stored[:, 0]) <= 0).any():
            raise ValueError("thresholds are not finite or not in order")
    except (
        *(ValueError, KeyError, TypeError, AttributeError, ConfigError),
        *(RecursionError, OverflowError),
    ) as error:
        raise ArtifactError(f"{path} is no calibration ({error!r}): {again}") from None
    if made_for != load_artifact(student).sha256:
        raise ArtifactError(f"{path} was made for other weights than {student}: {again}")
    rate = default if false_alerts_per_hour is None else false_alerts_per_hour
    if not stored[0, 0] <= rate <= stored[-1, 0]:
        raise ConfigError(
            f"no threshold for {rate:g} false alerts an hour: choose {stored[0, 0]:g} to "
            f"{stored[-1, 0]:g}"
        )
    threshold, learning = (
        float(np.interp(math.log(rate), np.log(stored[:, 0]), stored[:, column]))
        for column in (1, 2)
    )
    return LiveScoreConfig(scales=scales, threshold=threshold, learning_threshold=learning)


def _hear(path: Path, scorer: Scorer) -> _ScoredRecord:
    """Run the front end over a record and ask every witness about each beat."""
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
        said = live.observe(windows[beat], float(rr_s[beat]), float(scores[beat]))
        raw[:, beat] = [said.get(witness, np.nan) for witness in COMPONENTS]

    classes = np.full(len(found), "-")
    pairs = match_beats(annotated, found, match_samples(info.fs_hz))
    classes[pairs[pairs >= 0]] = classes_of(symbols)[pairs >= 0]
    counted, seconds = analysable.copy(), len(x) / info.fs_hz
    for first, last in read_flutter(path):
        # What is found in a fluttering heart is no false detection.
        counted &= ~((found >= first) & (found <= last))
        seconds -= (min(last, len(x)) - first) / info.fs_hz
    return _ScoredRecord(
        raw={witness: raw[row, counted] for row, witness in enumerate(COMPONENTS)},
        times_s=found[counted] / info.fs_hz,
        classes=classes[counted],
        learning=learning[counted],
        hours=seconds / 3600,
    )


_NO_CALIBRATION: Final = LiveScoreConfig(
    scales={witness: Scale(median=0.0, p95=1.0) for witness in COMPONENTS},
    threshold=math.inf,
    learning_threshold=math.inf,
)


def _scales(heard: _ScoredRecord) -> dict[str, Scale]:
    normal = heard.classes == "N"
    return {
        witness: Scale(
            median=float(np.nanmedian(values[normal])),
            p95=float(np.nanquantile(values[normal], 0.95)),
        )
        for witness, values in heard.raw.items()
    }


def _scores(heard: _ScoredRecord, scales: Mapping[str, Scale]) -> NDArray[np.float64]:
    """Return the score of each beat of one patient as the live score has it, float64[n]."""
    typical = Typical()
    scores = np.zeros(len(heard.classes))
    for beat, said in enumerate(_said(heard, COMPONENTS)):
        total = sum(contributions_of(said, scales).values())
        scores[beat] = total + (0.0 if heard.learning[beat] else typical.contribution(total))
    return scores


def _universal_scores(heard: _ScoredRecord, scales: Mapping[str, Scale]) -> NDArray[np.float64]:
    """Return what each beat would score if its patient were unknown, float64[n]."""
    return np.array(
        [sum(contributions_of(said, scales).values()) for said in _said(heard, UNIVERSAL)]
    )


def _said(heard: _ScoredRecord, witnesses: tuple[str, ...]) -> Iterator[dict[str, float]]:
    """Yield what those witnesses that could speak said of each beat."""
    columns = [heard.raw[witness].tolist() for witness in witnesses]
    for row in zip(*columns, strict=True):
        yield {w: value for w, value in zip(witnesses, row, strict=True) if not math.isnan(value)}


def _thresholds(
    heard: _ScoredRecord, known: NDArray[np.float64], unknown: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Return the thresholds for each rate, and what of each class they find on these patients."""
    judged = ~heard.learning
    of_known = _at_rates(heard, known, judged)
    of_unknown = _at_rates(heard, unknown, np.ones_like(judged))
    return [
        {
            "false_alerts_per_hour": rate,
            "threshold": threshold,
            "learning_threshold": learning_threshold,
            "false_beats_per_hour": round(
                np.count_nonzero(known[judged & heard.not_anomalous] > threshold) / heard.hours, 1
            ),
            "sensitivity": {
                c: round(float((known[judged & (heard.classes == c)] > threshold).mean()), 4)
                for c in "SVF"
                if c in heard.classes[judged]
            },
        }
        for rate, threshold, learning_threshold in zip(
            RATES_PER_HOUR, of_known, of_unknown, strict=True
        )
    ]


def _at_rates(
    heard: _ScoredRecord, scores: NDArray[np.float64], part: NDArray[np.bool_]
) -> list[float]:
    """Return for each of `RATES_PER_HOUR` the lowest threshold that keeps to it.

    Coming from above: far below, where nearly all is anomalous, episodes grow together and
    become fewer again.
    """
    scores, times_s, false = scores[part], heard.times_s[part], heard.not_anomalous[part]
    candidates = iter(np.unique(scores[false])[::-1].tolist())
    threshold = next(candidates)
    thresholds = []
    for rate in RATES_PER_HOUR:
        for lower in candidates:
            if false_alerts(scores > lower, times_s, false) > rate * heard.hours:
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
