"""One anomaly score per beat from three witnesses: student, patient, rhythm.

A model of all patients alone does not hold on a patient it has never seen, so the beat is also
compared with this patient's own normal beat and with this patient's own rhythm. The witnesses
are numbers in which larger means stranger:

* ``model``: logarithm of the student's reconstruction error.
* ``own``: the same, less its median over this patient's usual beats.
* ``shape``: logarithm of the root mean square distance to the patient's template over the
  whole window, less its median over the usual beats: how far the beat lies outside of what
  varies in this patient anyway.
* ``qrs``: the same over the QRS complex alone.
* ``early``: prematurity, 1 - RR / median of the last 20 RR intervals, at least 0.
* ``late``: RR / median - 1, at least 0: a pause.

Each is brought to a common scale by its distribution over the normal beats of the calibration
records: 0 at their median, 1 at their 95th percentile, limited to `LIMITS` so that no single
witness outvotes all others. The score is the sum; a beat is anomalous above the threshold that
the calibration found for a stated rate of false alerts.

The template is learned from the first `LEARNING_BEATS` beats: the one with the most neighbours
(smallest median distance to the others) and its closest half are averaged, so that a minority
of ectopic beats among them does no harm. Until then the witnesses that know the patient are
silent and a threshold of their own holds. Afterwards each usual beat, one that scores at most
``learn_below``, moves the template by a twentieth. That limit is apart from the alert threshold
on purpose: asking for fewer alerts must not teach the template ectopic beats.

Pure and causal: depends on this stream's beats alone, in order. No clock, no I/O.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_BEFORE_R, WINDOW_SAMPLES
from pipeline.errors import ConfigError

LEARNING_BEATS: Final = 16
RR_MEMORY: Final = 20
TEMPLATE_STEP: Final = 0.05
QRS_PART: Final = slice(WINDOW_BEFORE_R - 36, WINDOW_BEFORE_R + 54)
"""100 ms before to 150 ms after the R peak."""

USUAL_BEATS: Final = 128
"""Over this many usual beats the medians are taken: about two minutes."""

LIMITS: Final = (0.0, 5.0)
"""A scaled witness says no less and no more than this."""

_FLOOR: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How one witness is distributed over normal beats."""

    median: float
    p95: float

    def __post_init__(self) -> None:
        """Refuse a scale that cannot divide."""
        if not self.p95 > self.median:
            raise ConfigError(f"95th percentile {self.p95} is not above the median {self.median}")

    def apply(self, value: float) -> float:
        """Return ``value`` with the median at 0 and the 95th percentile at 1, limited."""
        low, high = LIMITS
        return min(high, max(low, (value - self.median) / (self.p95 - self.median)))


WITNESSES: Final = ("model", "own", "shape", "qrs", "early", "late")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScoreConfig:
    """Scales and thresholds, as the calibration found them."""

    scales: Mapping[str, Scale]
    threshold: float
    learning_threshold: float
    """Holds while the patient's template is being learned."""
    learn_below: float
    """A beat with at most this score is usual and teaches the template."""

    def __post_init__(self) -> None:
        """Refuse a calibration for other witnesses."""
        if set(self.scales) != set(WITNESSES):
            raise ConfigError(
                f"calibration has witnesses {sorted(self.scales)}, not {sorted(WITNESSES)}: "
                "calibrate again with monitor train calibration"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the live score says of one beat."""

    score: float
    threshold: float
    anomalous: bool
    learning: bool
    reason: str
    """Which witnesses spoke, in words; empty for a beat that is not anomalous."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Scaled value of each witness that could speak."""


class LiveScore:
    """The memory of one patient and the judgement of that patient's beats."""

    def __init__(self, config: LiveScoreConfig) -> None:
        self._config = config
        self._rr_s: deque[float] = deque(maxlen=RR_MEMORY)
        self._learning: list[tuple[NDArray[np.float32], float]] = []
        self._template: NDArray[np.float32] | None = None
        self._usual = {name: _Usual() for name in ("own", "shape", "qrs")}

    @property
    def learning(self) -> bool:
        """Whether the patient's template is still being learned."""
        return self._template is None

    def median_rr_s(self) -> float | None:
        """Return the median of the last RR intervals, or None without any."""
        return float(np.median(self._rr_s)) if self._rr_s else None

    def skip(self, rr_s: float) -> None:
        """Note a beat that cannot be analysed: its RR interval still belongs to the rhythm."""
        if np.isfinite(rr_s):
            self._rr_s.append(rr_s)

    def judge(self, window: NDArray[np.float32], rr_s: float, model_score: float) -> Verdict:
        """Score one analysable beat and learn from it.

        Args:
            window: float32[320], scaled to [-1, 1].
            rr_s: RR interval before the beat in seconds, NaN if unknown.
            model_score: the student's score, > 0.
        """
        config = self._config
        raw = self.witnesses(window, rr_s, model_score)
        shares = {name: config.scales[name].apply(value) for name, value in raw.items()}
        learning = self.learning
        threshold = config.learning_threshold if learning else config.threshold
        score = sum(shares.values())
        anomalous = score > threshold
        verdict = Verdict(
            score=score,
            threshold=threshold,
            anomalous=anomalous,
            learning=learning,
            reason=_reason(shares, raw) if anomalous else "",
            shares=shares,
        )
        self._learn(window, raw["model"], usual=learning or score <= config.learn_below)
        self.skip(rr_s)
        return verdict

    def witnesses(
        self, window: NDArray[np.float32], rr_s: float, model_score: float
    ) -> dict[str, float]:
        """Return the unscaled value of every witness that can speak about this beat."""
        raw = {"model": float(np.log(max(model_score, _FLOOR)))}
        if self._template is not None:
            found = _against(self._template, window, raw["model"])
            for name, usual in self._usual.items():
                raw[name] = found[name] - usual.median()
        usual_rr_s = self.median_rr_s()
        if usual_rr_s is not None and np.isfinite(rr_s):
            raw["early"] = max(0.0, 1.0 - rr_s / usual_rr_s)
            raw["late"] = max(0.0, rr_s / usual_rr_s - 1.0)
        return raw

    def _learn(self, window: NDArray[np.float32], model: float, *, usual: bool) -> None:
        if self._template is None:
            self._learning.append((window, model))
            if len(self._learning) == LEARNING_BEATS:
                self._template = _first_template(np.stack([beat for beat, _ in self._learning]))
                for beat, value in self._learning:
                    self._remember(_against(self._template, beat, value))
                self._learning.clear()
        elif usual:
            self._remember(_against(self._template, window, model))
            self._template += np.float32(TEMPLATE_STEP) * (window - self._template)

    def _remember(self, found: Mapping[str, float]) -> None:
        for name, usual in self._usual.items():
            usual.add(found[name])


class _Usual:
    """The last `USUAL_BEATS` values of one witness over usual beats."""

    def __init__(self) -> None:
        self._values = np.zeros(USUAL_BEATS)
        self._count = 0

    def add(self, value: float) -> None:
        """Note a value; the oldest gives way."""
        self._values[self._count % USUAL_BEATS] = value
        self._count += 1

    def median(self) -> float:
        """Return the (upper) median of what is noted; 0 of nothing."""
        n = min(self._count, USUAL_BEATS)
        return float(np.partition(self._values[:n], n // 2)[n // 2]) if n else 0.0


def _against(
    template: NDArray[np.float32], window: NDArray[np.float32], model: float
) -> dict[str, float]:
    """Return what is compared with the patient's usual: distances to the template, and model."""
    apart = window - template
    return {"own": model, "shape": _log_rms(apart), "qrs": _log_rms(apart[QRS_PART])}


def _first_template(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average the beat with the most neighbours and its closest half; float32[320]."""
    apart = np.sqrt(((windows[:, None, :] - windows[None, :, :]) ** 2).mean(axis=2))
    centre = int(np.median(apart, axis=1).argmin())
    closest = np.argsort(apart[centre], kind="stable")[: len(windows) // 2]
    return np.asarray(windows[closest].mean(axis=0), dtype=np.float32)


def _log_rms(x: NDArray[np.float32]) -> float:
    return float(np.log(max(np.sqrt(np.mean(np.square(x, dtype=np.float64))), _FLOOR)))


def _reason(shares: Mapping[str, float], raw: Mapping[str, float]) -> str:
    """Name the witnesses that said more than nearly every normal beat makes them say."""
    texts = []
    shape, qrs, own = (shares.get(name, 0.0) for name in ("shape", "qrs", "own"))
    if (most := max(shape, qrs, own)) >= 1.0:
        part = "QRS" if qrs == most else "beat"
        texts.append((most, f"{part} differs from this patient's normal"))
    if shares["model"] >= 1.0:
        texts.append((shares["model"], "shape unlike normal beats of any patient"))
    if shares.get("early", 0.0) >= 1.0:
        texts.append((shares["early"], f"{100 * raw['early']:.0f} % premature"))
    if shares.get("late", 0.0) >= 1.0:
        texts.append((shares["late"], f"late, RR {100 * raw['late']:.0f} % longer"))
    texts.sort(key=lambda text: -text[0])
    return "; ".join(text for _, text in texts) or "several witnesses slightly raised"


def wrong_ticks(residual: NDArray[np.float32]) -> list[int]:
    """Return [first, last] of the stretch of a window that was reconstructed worst.

    The squared residual, float32[320], is smoothed over 9 ticks (25 ms); the stretch is where it
    stays above a quarter of its peak, around the peak.
    """
    energy = np.convolve(np.square(residual, dtype=np.float64), np.ones(9) / 9, mode="same")
    peak = int(energy.argmax())
    below = np.flatnonzero(energy < energy[peak] / 4)
    before, after = below[below < peak], below[below > peak]
    first = int(before[-1]) + 1 if before.size else 0
    last = int(after[0]) - 1 if after.size else WINDOW_SAMPLES - 1
    return [first, last]
