"""The weights of the rule for fibrillation: a logistic regression over its two measures.

Four-second windows, every half second, of vfdb (both signals: fibrillation and flutter against all
but tachycardia, asystole, ventricular escape rhythms and noise), of the 2015 challenge (ECG leads:
the seconds before a true alarm of fibrillation against those before all other alarms but
ventricular tachycardia), and of DS1 of the MIT-BIH records (the flutter of 207 against all else).
A record has the weight of the square root of its number of windows; fibrillation and the rest have
the same total weight. For the area under the ROC, each record is scored by a regression that was
fitted without it.

``fibrillation.json`` beside the weights names the records, and those that the weights that ship
were trained on. Of the latter 40 are of the challenge; which ones was not recorded: this training
does not give those weights again.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, signal

from models.data.challenge2015 import ALARM_AT_S, read_cases
from models.data.rhythms import FIBRILLATION_NOTES, read_rhythms
from models.files.model_file import SHIPPED, read_model_file
from models.measure.metrics import roc_auc
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.errors import InputError
from pipeline.signal.fibrillation import (
    BIAS,
    FIBRILLATION_S,
    FLAT_WEIGHT,
    LOW_WEIGHT,
    FibrillationWatch,
)
from pipeline.signal.kernels import fibrillation as kernel
from replay.annotations import read_flutter
from replay.headers import header_path, load_header
from replay.leads import ecg_leads
from replay.records import read_lead

SHIPPED_RULE: Final = SHIPPED / "fibrillation.json"
"""The weights that ship, what they were trained on, and the records of this training."""

Records = Mapping[str, Sequence[str]]
"""Names of records by database."""

_MAX_BYTES: Final = 65_536
_LEFT_OUT: Final = ("VT", "ASYS", "NOISE", "HGEA", "VER")
_RIDGE: Final = 1e-3


_SHIPPED_WEIGHTS: Final = np.array((FLAT_WEIGHT, LOW_WEIGHT, BIAS))


@dataclass(frozen=True, slots=True, kw_only=True)
class FibrillationFit:
    """The fitted rule, and what it is worth."""

    flat_weight: float
    """Of the share of flat slopes."""
    low_weight: float
    """Of the share of the power in the band of fibrillation."""
    bias: float
    auc_left_out: float
    """Area under the ROC, each record scored by a regression fitted without it."""
    auc_shipped: float
    """Area under the ROC, all records scored by the weights that ship."""
    windows: int
    fibrillating: int
    """So many of the windows are of fibrillation or flutter."""
    records: int


class Windows(NamedTuple):
    """Windows of one record."""

    record: str
    measures: NDArray[np.float64]
    """float64[n, 2]: share of flat slopes, share of the power in the band of fibrillation."""
    fibrillates: NDArray[np.bool_]


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
    """Fit the rule on the records, and once without each of them.

    Args:
        data: folder with ``vfdb/``, ``challenge2015/`` and ``mitdb/``.
        records: what to train on, of these three.
        on_step: called with the name of each record.

    Raises:
        InputError: a database or a record is missing or unusable.
    """
    windows = list(_gather(data, records, on_step))
    x = np.concatenate([one.measures for one in windows])
    y = np.concatenate([one.fibrillates for one in windows])
    of = np.concatenate([[one.record] * len(one.measures) for one in windows])
    weights = _weights(y, of)
    scores = np.empty(y.size, dtype=np.float32)
    for record in np.unique(of):
        out = of == record
        scores[out] = _score(_fit(x[~out], y[~out], weights[~out]), x[out])
    flat, low, bias = _fit(x, y, weights)
    return FibrillationFit(
        flat_weight=round(flat, 2),
        low_weight=round(low, 2),
        bias=round(bias, 2),
        auc_left_out=round(roc_auc(scores, y), 4),
        auc_shipped=round(roc_auc(_score(_SHIPPED_WEIGHTS, x).astype(np.float32), y), 4),
        windows=int(y.size),
        fibrillating=int(y.sum()),
        records=len(np.unique(of)),
    )


def _gather(data: Path, records: Records, on_step: Callable[[str], None]) -> Iterator[Windows]:
    for name in records["vfdb"]:
        on_step(f"vfdb {name}")
        path = header_path(data / "vfdb" / name)
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
            yield Windows(name, measures[chosen], kinds[chosen] == 1)
    cases = {case.record: case for case in read_cases(data / "challenge2015")}
    for name in records["challenge2015"]:
        on_step(f"challenge2015 {name}")
        if name not in cases:
            raise InputError(f"{data / 'challenge2015' / 'ALARMS'} has no record {name}")
        case, path = cases[name], header_path(data / "challenge2015" / name)
        named = case.kind == "Ventricular_Flutter_Fib"
        seconds = (2.0 if case.true else 15.0) if named else 100.0
        for lead in ecg_leads(load_header(path))[:2]:
            at_s, measures = _measured(path, lead)
            chosen = (at_s <= ALARM_AT_S) & (at_s >= ALARM_AT_S - seconds)
            yield Windows(name, measures[chosen], np.full(chosen.sum(), named and case.true))
    for name in records["mitdb"]:
        on_step(f"mitdb {name}")
        path = header_path(data / "mitdb" / name)
        at_s, measures = _measured(path, 0)
        chosen, fibrillates = np.ones(at_s.size, bool), np.zeros(at_s.size, bool)
        for first, last in read_flutter(path, lead=0):
            begin_s, end_s = first / SAMPLING_RATE_HZ, last / SAMPLING_RATE_HZ
            within = (at_s - FIBRILLATION_S >= begin_s) & (at_s <= end_s)
            chosen &= within | (at_s <= begin_s) | (at_s - FIBRILLATION_S >= end_s)
            fibrillates |= within
        chosen[::2] &= fibrillates[::2]
        yield Windows(name, measures[chosen], fibrillates[chosen])


def _measured(path: Path, lead: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the end of each window, seconds, and its two measures, float64[n] and [n, 2]."""
    info, x = read_lead(path, lead)
    x = np.nan_to_num(x)
    if info.fs_hz != SAMPLING_RATE_HZ:
        x = signal.resample_poly(x, SAMPLING_RATE_HZ, round(info.fs_hz))
    clean = x.astype(np.float32) - np.float32(x[0])
    positions, rows = FibrillationWatch().measure(clean, np.zeros(clean.size, np.uint8))
    whole = rows[:, kernel.MASKED] == 0
    return positions[whole] / SAMPLING_RATE_HZ, rows[whole][:, [kernel.FLAT, kernel.LOW]]


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
    mean, spread = x.mean(axis=0), x.std(axis=0)
    scaled = np.column_stack(((x - mean) / spread, np.ones(len(x))))
    share = weights / weights.sum()

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = scaled @ theta
        losses = np.logaddexp(0.0, np.where(y, -z, z))
        gradient = scaled.T @ (share * (1.0 / (1.0 + np.exp(-z)) - y))
        gradient[:-1] += 2 * _RIDGE * theta[:-1]
        return float(share @ losses + _RIDGE * (theta[:-1] ** 2).sum()), gradient

    theta = optimize.minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B").x
    slopes = theta[:-1] / spread
    return np.append(slopes, theta[-1] - slopes @ mean)


def _score(theta: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = x @ theta[:-1] + theta[-1]
    return scores
