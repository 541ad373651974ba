"""Scales and thresholds of the live score, found on the patients of DS1.

`calibrate` runs the streaming front end, detector in the loop, over de Chazal's training
patients and asks each witness of `pipeline.live_score` about every beat. Normal beats give the
scales; the threshold is the score that a stated number of normal beats an hour exceeds. The
result lies beside the student's weights, with their checksum, for it is true for them alone.

The witnesses depend on which beats the patient's template learned from, which depends on the
threshold; a few rounds settle it.

Source of the split: de Chazal, O'Dwyer & Reilly, IEEE Trans. Biomed. Eng. 51 (2004).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.artifact import SHIPPED_STUDENT, load_artifact
from models.dataset import database_folder
from pipeline.errors import ArtifactError, ConfigError
from pipeline.live_score import WITNESSES, LiveScore, LiveScoreConfig, Scale
from pipeline.quality import Reason
from pipeline.scoring import Scorer
from pipeline.segmenter import Segmenter
from replay.records import read_beats, read_lead

FORMAT: Final = 1
SHIPPED_CALIBRATION: Final = SHIPPED_STUDENT.with_name("live_score.json")

DS1: Final = [
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122",
    "124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230",
]  # fmt: skip

NORMAL_SYMBOLS: Final = frozenset("NLRej")
"""Class N of AAMI EC57 as the machine-learning literature counts it."""

FALSE_ALERTS_PER_HOUR: Final = 80.0
"""Normal beats an hour of DS1 that exceed the threshold."""

LEARNING_FALSE_ALERTS_PER_HOUR: Final = 60.0

USUAL_SHARE: Final = 0.95
"""Share of the normal beats that may teach the patient's template."""

MATCH_S: Final = 0.15
_ROUNDS: Final = 4
_MAX_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Record:
    """The analysable beats of one record, in order."""

    windows: NDArray[np.float32]
    rr_s: NDArray[np.float64]
    scores: NDArray[np.float32]
    normal: NDArray[np.bool_]
    analysable: NDArray[np.bool_]
    hours: float


def calibrate(data: Path, scorer: Scorer, on_step: Callable[[str], None]) -> dict[str, Any]:
    """Return the calibration of ``scorer`` as it is stored, apart from the checksum.

    Raises:
        InputError: records of DS1 are missing.
    """
    folder = database_folder(data)
    records = []
    for name in DS1:
        on_step(f"record {name}")
        records.append(_read(folder / name, scorer))
    scales = {name: Scale(median=0.0, p95=1.0) for name in WITNESSES}
    config = LiveScoreConfig(
        scales=scales, threshold=np.inf, learning_threshold=np.inf, learn_below=np.inf
    )
    for turn in range(_ROUNDS):
        on_step(f"round {turn + 1} of {_ROUNDS}")
        config = _refine(records, config)
    return {
        "format": FORMAT,
        "records": DS1,
        "normal_symbols": "".join(sorted(NORMAL_SYMBOLS)),
        "false_alerts_per_hour": FALSE_ALERTS_PER_HOUR,
        "learning_false_alerts_per_hour": LEARNING_FALSE_ALERTS_PER_HOUR,
        "normal_beats": int(sum((r.normal & r.analysable).sum() for r in records)),
        "hours": round(sum(r.hours for r in records), 3),
        "scales": {
            name: {"median": scale.median, "p95": scale.p95}
            for name, scale in config.scales.items()
        },
        "threshold": config.threshold,
        "learning_threshold": config.learning_threshold,
        "learn_below": config.learn_below,
    }


def save_calibration(
    calibration: Mapping[str, Any],
    path: Path = SHIPPED_CALIBRATION,
    student: Path = SHIPPED_STUDENT,
) -> None:
    """Write a calibration beside the student that it is true for."""
    content = {**calibration, "weights_sha256": load_artifact(student).sha256}
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def load_calibration(
    path: Path = SHIPPED_CALIBRATION, student: Path = SHIPPED_STUDENT
) -> LiveScoreConfig:
    """Return the calibration stored beside ``student``.

    Raises:
        ArtifactError: it is missing, malformed, or was made for other weights.
    """
    again = "calibrate again with `monitor train calibration`"
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
        if content["format"] != FORMAT:
            raise ArtifactError(f"{path} has format {content['format']}, not {FORMAT}: {again}")
        made_for = content["weights_sha256"]
        config = LiveScoreConfig(
            scales={
                str(name): Scale(median=float(scale["median"]), p95=float(scale["p95"]))
                for name, scale in content["scales"].items()
            },
            threshold=float(content["threshold"]),
            learning_threshold=float(content["learning_threshold"]),
            learn_below=float(content["learn_below"]),
        )
    except OSError as error:
        raise ArtifactError(f"calibration {path}: {error.strerror}; {again}") from None
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise ArtifactError(f"{path} is no calibration ({error!r}): {again}") from None
    if made_for != load_artifact(student).sha256:
        raise ArtifactError(f"{path} was made for other weights than {student}: {again}")
    return config


def _read(path: Path, scorer: Scorer) -> _Record:
    """Run the front end over a record and join what it found with the annotation."""
    info, x = read_lead(path)
    annotated, symbols = read_beats(path)
    segmenter = Segmenter(info.fs_hz)
    parts = [segmenter.push(x, first_sample=0), segmenter.finish()]
    found = np.concatenate([part.samples for part in parts])
    windows = np.concatenate([part.windows for part in parts])
    usable = np.concatenate([part.reasons for part in parts]) == Reason.OK
    scores = np.zeros(len(found), dtype=np.float32)
    scores[usable] = scorer.score(windows[usable]).scores
    nearest = _nearest(found, annotated)
    close = np.abs(annotated[nearest] - found) <= MATCH_S * info.fs_hz
    is_normal = np.array([symbol in NORMAL_SYMBOLS for symbol in symbols])
    return _Record(
        windows=windows,
        rr_s=np.concatenate([part.rr_s for part in parts]),
        scores=scores,
        normal=close & is_normal[nearest],
        analysable=usable,
        hours=len(x) / info.fs_hz / 3600,
    )


def _nearest(found: NDArray[np.int64], annotated: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each found position the index of the annotation nearest to it."""
    after = np.clip(np.searchsorted(annotated, found), 1, len(annotated) - 1)
    nearer_before = found - annotated[after - 1] <= annotated[after] - found
    return np.where(nearer_before, after - 1, after)


def _refine(records: list[_Record], config: LiveScoreConfig) -> LiveScoreConfig:
    """Return scales and thresholds as the normal beats have them under ``config``."""
    raw: dict[str, list[float]] = {name: [] for name in WITNESSES}
    learned: list[dict[str, float]] = []
    learning: list[dict[str, float]] = []
    hours_learning = 0.0
    for record in records:
        live = LiveScore(config)
        for i in range(len(record.scores)):
            rr_s = float(record.rr_s[i])
            if not record.analysable[i]:
                live.skip(rr_s)
                continue
            witnesses = live.witnesses(record.windows[i], rr_s, float(record.scores[i]))
            if live.learning and np.isfinite(rr_s):
                hours_learning += rr_s / 3600
            if record.normal[i]:
                (learning if live.learning else learned).append(witnesses)
                for name, value in witnesses.items():
                    raw[name].append(value)
            live.judge(record.windows[i], rr_s, float(record.scores[i]))
    scales = {
        name: Scale(median=float(np.median(values)), p95=float(np.quantile(values, 0.95)))
        for name, values in raw.items()
    }
    hours = sum(record.hours for record in records) - hours_learning
    unusual = (1.0 - USUAL_SHARE) * len(learned)
    return LiveScoreConfig(
        scales=scales,
        threshold=_threshold(learned, scales, FALSE_ALERTS_PER_HOUR * hours),
        learning_threshold=_threshold(
            learning, scales, LEARNING_FALSE_ALERTS_PER_HOUR * hours_learning
        ),
        learn_below=_threshold(learned, scales, unusual),
    )


def _threshold(
    beats: list[dict[str, float]], scales: Mapping[str, Scale], false_alerts: float
) -> float:
    """Return the score that ``false_alerts`` of these normal beats exceed."""
    scores = np.sort([sum(scales[n].apply(v) for n, v in beat.items()) for beat in beats])
    return round(float(scores[-1 - min(int(false_alerts), len(scores) - 1)]), 4)
