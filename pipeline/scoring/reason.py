"""Why a beat is anomalous, in words, and where in its window. Pure."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import CLASSES, WINDOW_SAMPLES

_NAMED: Final = {
    "S": "supraventricular",
    "V": "ventricular",
    "F": "a fusion of normal and ventricular",
}


def reason_of(
    scaled: Mapping[str, float],
    raw: Mapping[str, float],
    probabilities: NDArray[np.float32],
) -> str:
    """Return what is unusual, in words, the largest first.

    Named are components above their 95th percentile over normal beats, and the likeliest class
    where the beat is more probably not N than N.

    Args:
        scaled: each component of the live score, 1 at that percentile.
        raw: the components that are known, unscaled.
        probabilities: float32[4], of each of `CLASSES`.
    """
    texts = []
    if (largest := max(scaled["shape"], scaled["qrs"], scaled["own"])) >= 1.0:
        part = "QRS" if scaled["qrs"] == largest else "beat"
        texts.append((largest, f"{part} differs from this patient's normal"))
    if scaled["model"] >= 1.0:
        texts.append((scaled["model"], "shape unlike normal beats of any patient"))
    if scaled["early"] >= 1.0:
        texts.append((scaled["early"], f"{100 * raw['early']:.0f} % premature"))
    if scaled["family"] >= 1.0:
        texts.append((scaled["family"], "a shape that comes early in this patient"))
    if scaled["late"] >= 1.0:
        texts.append((scaled["late"], f"late, RR {100 * raw['late']:.0f} % longer"))
    if float(probabilities[0]) < 0.5:
        likeliest = max(range(1, len(CLASSES)), key=probabilities.tolist().__getitem__)
        share = 100 * float(probabilities[likeliest])
        texts.append((0.5, f"{_NAMED[CLASSES[likeliest]]} ({share:.0f} %)"))
    texts.sort(key=lambda text: -text[0])
    return "; ".join(text for _, text in texts) or "several measures slightly raised"


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
