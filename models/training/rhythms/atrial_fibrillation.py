"""The weights of atrial fibrillation: a logistic regression over the measures of the last beats.

Trained on DS1 of the MIT-BIH records (fibrillation against all other rhythms; flutter is left
out), on the records of CinC 2017 (A against N, O and ~) and on svdb, whose rhythms have no names:
of it only beats with two annotated ectopic ones or more among those looked at, as what ectopy looks
like without fibrillation. The beats are those that the detector finds. A record of mitdb has the
weight of twelve of CinC 2017, one of svdb of three.

For the figures every record is assessed by a regression that was fitted without it, in five parts.
DS2 is looked at by the evaluation alone.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.atrial_beats import (
    FIBRILLATION,
    FLUTTER,
    JudgedBeats,
    alarmed_spans,
    judge_record,
    record_evidence,
)
from models.data.rhythms import read_rhythms
from models.files.model_file import SHIPPED, read_model_file
from models.training.rhythms.logistic import fit_logistic
from pipeline.alarms.atrial_fibrillation import BIAS, RECORD_ABOVE, WEIGHTS
from pipeline.signal.kernels import atrial as kernel
from replay.annotations import read_beats

SHIPPED_ATRIAL: Final = SHIPPED / "atrial_fibrillation.json"
"""The weights that ship, and the records that they were trained on."""

Records = Mapping[str, Sequence[str]]
"""Names of records by database; those of CinC 2017 with the folder of their label."""

_MAX_BYTES: Final = 262_144
_WEIGHT: Final = {"mitdb": 12.0, "cinc17": 1.0, "svdb": 3.0}
_EVERY: Final = {"mitdb": 8, "cinc17": 2, "svdb": 8}
"""One beat of this number is trained on: neighbours see nearly the same."""
_LEAST_BEATS: Final = 8
_ECTOPIC: Final = 2
_USUAL: Final = frozenset("NLRBejn")
_PARTS: Final = 5


class Windows(NamedTuple):
    """What is trained on of one record."""

    beats: JudgedBeats
    chosen: NDArray[np.int64]
    fibrillates: NDArray[np.bool_]
    """bool of each chosen beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtrialFit:
    """The fitted weights, and what they are worth on records left out."""

    weights: list[float]
    bias: float
    cinc17_f1_left_out: float
    """Of A against the rest; each record assessed without it."""
    cinc17_f1_shipped: float
    """The same records by the weights that ship, which were fitted to them."""
    ds1_sensitivity_left_out: float
    """Share of the time of DS1 in atrial fibrillation that is in alarms, in %, by weights fitted
    without it."""
    ds1_positive_predictivity_left_out: float
    """Share of the time in alarms that is in atrial fibrillation, in %, by the same weights."""
    svdb_alarm_share_left_out: float
    """Of the time of svdb, in %: it names no rhythms, but some records do fibrillate."""
    records: int
    beats: int


def training_records() -> Records:
    """Return the records to train on.

    Raises:
        ArtifactError: the file that names them is missing, or not the one that ships.
    """
    content = read_model_file(SHIPPED_ATRIAL, _MAX_BYTES, "install the package again")
    records: Records = json.loads(content)["training"]["records"]
    return records


def fit_atrial_fibrillation(
    data: Path, records: Records, on_step: Callable[[str], None] = lambda text: None
) -> AtrialFit:
    """Fit the weights to the records, and once without each fifth of them.

    Args:
        data: folder with ``mitdb/``, ``cinc17/`` and ``svdb/``.
        records: what to train on, of these three.
        on_step: called with the name of each record.

    Raises:
        InputError: a database or a record is missing or unusable.
    """
    windows = {
        (database, name): found
        for database in records
        for name, found in _gather(data, database, records[database], on_step)
    }
    evidence: dict[tuple[str, str], NDArray[np.float64]] = {}
    for part in range(_PARTS):
        out = [
            key
            for fibrillates in (False, True)
            for key in sorted(_of_label(windows, fibrillates=fibrillates))[part::_PARTS]
        ]
        theta = _fit({key: one for key, one in windows.items() if key not in out})
        evidence |= {key: windows[key].beats.evidence(theta) for key in out}
    shipped = np.append(WEIGHTS, BIAS)
    by_shipped = {key: one.beats.evidence(shipped) for key, one in windows.items()}
    theta = _fit(windows)
    ds1 = _durations(data, "mitdb", windows, evidence)
    svdb = _durations(data, "svdb", windows, evidence)
    return AtrialFit(
        weights=[round(w, 4) for w in theta[:-1].tolist()],
        bias=round(float(theta[-1]), 4),
        cinc17_f1_left_out=_f1(evidence),
        cinc17_f1_shipped=_f1(by_shipped),
        ds1_sensitivity_left_out=_percent(ds1[0], ds1[1]),
        ds1_positive_predictivity_left_out=_percent(ds1[0], ds1[2]),
        svdb_alarm_share_left_out=_percent(svdb[2], svdb[3]),
        records=len(windows),
        beats=sum(one.chosen.size for one in windows.values()),
    )


def _gather(
    data: Path, database: str, names: Sequence[str], on_step: Callable[[str], None]
) -> Iterator[tuple[str, Windows]]:
    for name in names:
        on_step(f"{database} {name}")
        record = data / database / name
        beats = judge_record(record)
        n = beats.samples.size
        first = np.maximum(np.arange(n) - (kernel.BEATS - 1), 0)
        chosen = np.isfinite(beats.measures).all(axis=1)
        chosen &= (np.arange(n) % _EVERY[database] == 0) & (np.arange(n) >= _LEAST_BEATS - 1)
        fibrillates = np.full(n, name.startswith("af/"))
        if database == "mitdb":
            kinds = _named(record, beats)
            chosen &= (kinds == kinds[first]) & (kinds >= 0)
            fibrillates = kinds == 1
        elif database == "svdb":
            at, symbols = read_beats(record, lead=0)
            ectopic = at[[symbol not in _USUAL for symbol in symbols]]
            reach = round(0.1 * beats.fs_hz)
            within = np.searchsorted(ectopic, beats.samples + reach) - np.searchsorted(
                ectopic, beats.samples[first] - reach
            )
            chosen &= within >= _ECTOPIC
        places = np.flatnonzero(chosen)
        yield name, Windows(beats, places, fibrillates[places])


def _named(record: Path, beats: JudgedBeats) -> NDArray[np.int64]:
    """Return 1 for beats in fibrillation by the reference, -1 in flutter, else 0."""
    at_s = beats.samples / beats.fs_hz
    kinds = np.zeros(at_s.size, dtype=np.int64)
    for stretch in read_rhythms(record, float(at_s[-1])):
        inside = (at_s >= stretch.begin_s) & (at_s < stretch.end_s)
        if stretch.name in (FIBRILLATION, FLUTTER):
            kinds[inside] = 1 if stretch.name == FIBRILLATION else -1
    return kinds


def _of_label(
    windows: Mapping[tuple[str, str], Windows], *, fibrillates: bool
) -> list[tuple[str, str]]:
    return [key for key, one in windows.items() if bool(one.fibrillates.any()) == fibrillates]


def _fit(windows: Mapping[tuple[str, str], Windows]) -> NDArray[np.float64]:
    """Return weights and bias of a weighted logistic regression with a light ridge."""
    used = [(key, one) for key, one in windows.items() if one.chosen.size]
    x = np.concatenate([one.beats.measures[one.chosen] for _, one in used])
    y = np.concatenate([one.fibrillates for _, one in used])
    weights = np.concatenate(
        [np.full(one.chosen.size, _WEIGHT[key[0]] / one.chosen.size) for key, one in used]
    )
    share = weights / weights.sum()
    mean = share @ x
    spread = np.sqrt(share @ (x - mean) ** 2)
    return fit_logistic(x, y, share, mean, spread)


def _f1(evidence: Mapping[tuple[str, str], NDArray[np.float64]]) -> float:
    """Return the F1 of fibrillation over the records of CinC 2017."""
    called = {
        name: record_evidence(one) > RECORD_ABOVE
        for (database, name), one in evidence.items()
        if database == "cinc17"
    }
    right = sum(one for name, one in called.items() if name.startswith("af/"))
    named = sum(name.startswith("af/") for name in called)
    return round(2.0 * right / max(sum(called.values()) + named, 1), 4)


def _durations(
    data: Path,
    database: str,
    windows: Mapping[tuple[str, str], Windows],
    evidence: Mapping[tuple[str, str], NDArray[np.float64]],
) -> tuple[float, float, float, float]:
    """Return seconds: fibrillating in alarms, fibrillating, in alarms, all; without flutter."""
    both = reference = alarmed = total = 0.0
    for (of, name), one in windows.items():
        if of != database:
            continue
        spans = alarmed_spans(one.beats, evidence[of, name])
        last_s = float(one.beats.samples[-1] / one.beats.fs_hz)
        total += last_s
        alarmed += sum(b - a for a, b in spans)
        if database != "mitdb":
            continue
        for stretch in read_rhythms(data / database / name, last_s):
            shared = sum(
                max(0.0, min(b, stretch.end_s) - max(a, stretch.begin_s)) for a, b in spans
            )
            if stretch.name == FIBRILLATION:
                reference += stretch.end_s - stretch.begin_s
                both += shared
            elif stretch.name == FLUTTER:
                alarmed -= shared
    return both, reference, alarmed, total


def _percent(part: float, whole: float) -> float:
    return round(100.0 * part / whole, 2) if whole else 0.0
