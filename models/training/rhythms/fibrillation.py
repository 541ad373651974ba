"""The weights of the rule for fibrillation: a logistic regression over its two measures.

Four-second windows, every half second, with fibrillation and flutter against everything else:

* vfdb, both signals; tachycardia, asystole, ventricular escape rhythms and noise are left out;
* cu, where ``readings.json`` beside the records says when it fibrillates; 2 s around each onset and
  end, and what is unclear, are left out;
* the 2015 challenge, ECG leads: the seconds before a true alarm of fibrillation against those
  before all other alarms but ventricular tachycardia;
* DS1 of the MIT-BIH records (the flutter of 207 against all else), svdb, and of CinC 2017 what is
  labelled normal or atrial fibrillation: nothing there fibrillates.

A record has the weight of the square root of its number of windows; fibrillation and the rest have
the same total weight. The threshold is the lowest that gives at most `FALSE_PER_24H` false alarms
on the last three. For the area under the ROC, each patient is scored by one of ten regressions,
which was fitted without this one. ``fibrillation.json`` beside the weights names the records.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.data.challenge2015 import ALARM_AT_S, Case, read_cases
from models.data.rhythms import FIBRILLATION_NOTES, read_rhythms
from models.files.model_file import SHIPPED, read_model_file
from models.measure.metrics import roc_auc
from models.training.rhythms.logistic import fit_logistic
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import InputError
from pipeline.signal.fibrillation import (
    BEGINS_AFTER,
    BIAS,
    FIBRILLATION_S,
    FIBRILLATION_STEP_S,
    FLAT_WEIGHT,
    LEAST_MV,
    LOW_WEIGHT,
    FibrillationWatch,
)
from pipeline.signal.kernels import fibrillation as kernel
from pipeline.signal.segmenter import Segmenter
from replay.annotations import read_flutter
from replay.files.regular import read_small
from replay.headers import header_path, load_header
from replay.leads import ecg_leads
from replay.records import read_lead

SHIPPED_RULE: Final = SHIPPED / "fibrillation.json"
"""The weights that ship, and the records that they were trained on."""

Records = Mapping[str, Sequence[str]]
"""Names of records by database."""

_MAX_BYTES: Final = 65_536
_LEFT_OUT: Final = ("VT", "ASYS", "NOISE", "HGEA", "VER")
_FOLDS: Final = 10
_MARGIN_S: Final = 2.0
"""By so much an onset that was read by eye may be wrong."""

FALSE_PER_24H: Final = 2.0
"""So many false alarms of fibrillation are allowed on the records that it is trained on."""

_APART_S: Final = 20.0
"""Alarms nearer to each other are one."""


_SHIPPED_WEIGHTS: Final = np.array((FLAT_WEIGHT, LOW_WEIGHT, BIAS))


@dataclass(frozen=True, slots=True, kw_only=True)
class FibrillationFit:
    """The fitted rule, and what it is worth."""

    flat_weight: float
    """Of the share of flat slopes."""
    low_weight: float
    """Of the share of the power in the band of fibrillation."""
    bias: float
    begins_above: float
    """The threshold, by `FALSE_PER_24H`."""
    begins_above_of_folds: tuple[float, float]
    """The lowest and the highest of the folds."""
    auc_left_out: float
    """Area under the ROC, each patient scored by a regression fitted without this one."""
    auc_shipped: float
    """Area under the ROC, all records scored by the weights that ship."""
    windows: int
    fibrillating: int
    """So many of the windows are of fibrillation or flutter."""
    records: int


class Windows(NamedTuple):
    """Windows of one record."""

    record: str
    """Its database and its name."""
    at_s: NDArray[np.float64]
    """Where each ends."""
    measures: NDArray[np.float64]
    """float64[n, 3]: share of flat slopes, share of the power in the band of fibrillation, span in
    mV."""
    fibrillates: NDArray[np.bool_]
    whole: bool = False
    """Whether these are all windows of a record without fibrillation but for short flutter."""


def training_records() -> Records:
    """Return the records to train on.

    Raises:
        ArtifactError: the file that names them is missing, or not the one that ships.
    """
    content = read_model_file(SHIPPED_RULE, _MAX_BYTES, "install the package again")
    records: Records = json.loads(content)["training"]["records"]
    return records


def fit_fibrillation(
    data: Path, records: Records, on_step: Callable[[str], None] = lambda text: None
) -> FibrillationFit:
    """Fit the rule on the records, and ten times without a tenth of them.

    Args:
        data: folder with the databases above.
        records: what to train on, of these.
        on_step: called with the name of each record.

    Raises:
        InputError: a database or a record is missing or unusable.
    """
    windows = list(_gather(data, records, on_step))
    x = np.concatenate([one.measures[:, :2] for one in windows])
    y = np.concatenate([one.fibrillates for one in windows])
    of = np.concatenate([[one.record] * len(one.measures) for one in windows])
    weights = _weights(y, of)
    names = np.unique(of)
    scores = np.empty(y.size, dtype=np.float32)
    thresholds = []
    for fold in range(min(_FOLDS, len(names))):
        left_out = set(names[fold::_FOLDS])
        out = np.isin(of, list(left_out))
        theta = _fit(x[~out], y[~out], weights[~out])
        scores[out] = _score(theta, x[out])
        thresholds.append(_threshold([w for w in windows if w.record not in left_out], theta))
    flat, low, bias = _fit(x, y, weights)
    return FibrillationFit(
        flat_weight=round(flat, 2),
        low_weight=round(low, 2),
        bias=round(bias, 2),
        begins_above=_threshold(windows, np.array((flat, low, bias))),
        begins_above_of_folds=(min(thresholds), max(thresholds)),
        auc_left_out=round(roc_auc(scores, y), 4),
        auc_shipped=round(roc_auc(_score(_SHIPPED_WEIGHTS, x).astype(np.float32), y), 4),
        windows=int(y.size),
        fibrillating=int(y.sum()),
        records=len(names),
    )


def _gather(data: Path, records: Records, on_step: Callable[[str], None]) -> Iterator[Windows]:
    cases = {case.record: case for case in read_cases(data / "challenge2015")}
    readings = json.loads(read_small(data / "cu" / "readings.json", "readings", _MAX_BYTES))
    for database, names in records.items():
        for name in names:
            on_step(f"{database} {name}")
            path = header_path(data / database / name)
            if database == "vfdb":
                yield from _of_vfdb(name, path)
            elif database == "cu":
                yield _of_cu(name, path, readings[name])
            elif database == "challenge2015":
                if name not in cases:
                    raise InputError(f"{data / database / 'ALARMS'} has no record {name}")
                yield from _of_challenge(path, cases[name])
            else:
                yield _without(f"{database} {name}", path, flutter=database == "mitdb")


def _of_vfdb(name: str, path: Path) -> Iterator[Windows]:
    for lead in range(len(load_header(path).signals)):
        at_s, measures = _measured(path, lead)
        kinds = np.zeros(at_s.size, dtype=np.int64)
        for stretch in read_rhythms(path, at_s[-1]):
            inside = (at_s - FIBRILLATION_S >= stretch.begin_s) & (at_s <= stretch.end_s)
            kinds[inside] = (
                1 if stretch.name in FIBRILLATION_NOTES
                else -1 if stretch.name in _LEFT_OUT
                else 2
            )  # fmt: skip
        chosen = kinds > 0
        yield Windows(f"vfdb {name}", at_s[chosen], measures[chosen], kinds[chosen] == 1)


def _of_cu(name: str, path: Path, reading: Mapping[str, list[list[float]]]) -> Windows:
    at_s, measures = _measured(path, 0)
    chosen, fibrillates = np.ones(at_s.size, bool), np.zeros(at_s.size, bool)
    for begin_s, end_s in reading["vf"] + reading["u"]:
        chosen &= (at_s <= begin_s - _MARGIN_S) | (at_s - FIBRILLATION_S >= end_s + _MARGIN_S)
    for begin_s, end_s in reading["vf"]:
        fibrillates |= (at_s - FIBRILLATION_S >= begin_s) & (at_s <= end_s)
    chosen |= fibrillates
    return Windows(f"cu {name}", at_s[chosen], measures[chosen], fibrillates[chosen])


def _of_challenge(path: Path, case: Case) -> Iterator[Windows]:
    named = case.kind == "Ventricular_Flutter_Fib"
    seconds = (2.0 if case.true else 15.0) if named else 100.0
    for lead in ecg_leads(load_header(path))[:2]:
        at_s, measures = _measured(path, lead)
        chosen = (at_s <= ALARM_AT_S) & (at_s >= ALARM_AT_S - seconds)
        true = np.full(chosen.sum(), named and case.true)
        yield Windows(f"challenge2015 {case.record}", at_s[chosen], measures[chosen], true)


def _without(record: str, path: Path, *, flutter: bool) -> Windows:
    """Return the windows of a record without fibrillation; ``flutter`` is annotated, if any."""
    at_s, measures = _measured(path, 0)
    chosen, fibrillates = np.ones(at_s.size, bool), np.zeros(at_s.size, bool)
    for first, last in read_flutter(path, lead=0) if flutter else ():
        begin_s, end_s = first / SAMPLING_RATE_HZ, last / SAMPLING_RATE_HZ
        within = (at_s - FIBRILLATION_S >= begin_s) & (at_s <= end_s)
        chosen &= within | (at_s <= begin_s) | (at_s - FIBRILLATION_S >= end_s)
        fibrillates |= within
    return Windows(record, at_s[chosen], measures[chosen], fibrillates[chosen], whole=True)


def _measured(path: Path, lead: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the end of each window, seconds, and its measures, float64[n] and [n, 3]."""
    info, x = read_lead(path, lead)
    clean, codes = Segmenter(info.fs_hz).sampled(x, np.zeros(x.size, np.uint8))
    positions, rows = FibrillationWatch().measure(clean, codes)
    whole = rows[:, kernel.MASKED] == 0
    columns = [kernel.FLAT, kernel.LOW, kernel.SPAN]
    return positions[whole] / SAMPLING_RATE_HZ, rows[whole][:, columns]


def _threshold(windows: Sequence[Windows], theta: NDArray[np.float64]) -> float:
    """Return the lowest threshold that gives no more false alarms than allowed."""
    highest, seconds = [0.0], 0.0
    for one in windows:
        if not one.whole or one.at_s.size < BEGINS_AFTER:
            continue
        seconds += one.at_s.size * FIBRILLATION_STEP_S
        usable = ~one.fibrillates & (one.measures[:, 2] > LEAST_MV)
        scores = np.where(usable, _score(theta, one.measures[:, :2]), 0.0)
        lasting = sliding_window_view(scores, BEGINS_AFTER).min(axis=1)
        at = (one.at_s[BEGINS_AFTER - 1 :] // _APART_S).astype(np.int64)
        peaks = np.zeros(at.max() + 1)
        np.maximum.at(peaks, at, lasting)
        highest.extend(peaks.tolist())
    allowed = int(FALSE_PER_24H * seconds / 86_400)
    ordered = sorted(highest, reverse=True)
    return round(ordered[min(allowed, len(ordered) - 1)], 2)


def _weights(y: NDArray[np.bool_], of: NDArray[np.str_]) -> NDArray[np.float64]:
    weights = np.zeros(y.size)
    for record in np.unique(of):
        for kind in (False, True):
            chosen = (of == record) & (y == kind)
            weights[chosen] = 1.0 / np.sqrt(max(chosen.sum(), 1))
    for kind in (False, True):
        weights[y == kind] /= weights[y == kind].sum()
    return weights


def _fit(
    x: NDArray[np.float64], y: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return two weights and the bias of a weighted logistic regression with a light ridge."""
    share = weights / weights.sum()
    return fit_logistic(x, y, share, x.mean(axis=0), x.std(axis=0))


def _score(theta: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = x @ theta[:-1] + theta[-1]
    return scores
