"""Score beats with the trained student: compiled on the CPU, torch on CUDA where there is one.

`StudentScorer` is the part of a scorer (`models.inference.beat_scorer`) that gives scores and
residuals. On the CPU it needs no torch, which saves a scorer process two seconds and about 200 MB.
The score is the mean square of the residual after smoothing: noise averages out, a misshapen wave
does not. It counts the ticks up to the beginning of the T wave, whose shape varies in normal beats
too. Both were chosen on the validation part.

**A window's result never depends on its batch.** On the CPU each output is one chain of fused
multiplications and additions in one order (`pipeline.signal.kernels.network`), and everything else
is computed element by element or row by row. On CUDA every batch is padded to one size. The tests
demand exact equality.

Thread-safe: a scorer does not change after it is made.
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.files.student import SHIPPED_STUDENT, STAGES, StudentArtifact, load_student
from models.inference.layers import LINEAR, RECTIFIED, Layers
from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import ConfigError
from pipeline.signal.kernels.network.smoothing import smooth

STUDENT_WIDTH: Final = 8
STUDENT_LATENT: Final = 6
SMOOTHING_TICKS: Final = 31
SCORED_TICKS: Final = (20, 200)
"""333 ms before to 167 ms after the R peak."""

LEAK: Final = 0.2

Floats = NDArray[np.float32]

_WITHOUT_TORCH: Final = "torch is not installed: pip install 'ecg-monitor[gpu]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredWindows:
    """Scores and residuals of windows, one row each."""

    scores: Floats
    """float32[B], at least 0: the higher, the less like the beats the model was trained on."""
    residuals: Floats
    """float32[B, 320]: window minus reconstruction, tick by tick."""


class WindowScorer(Protocol):
    """Scores windows, each by itself, and names no class."""

    def score(self, windows: Floats) -> ScoredWindows:
        """Score float32[B, 320] windows in [-1, 1], as `pipeline.scoring.protocols.Scorer` does."""
        ...


class StudentScorer:
    """The student, ready to score."""

    def __init__(self, artifact: StudentArtifact, *, device: str | None = None) -> None:
        """Arrange the weights of ``artifact`` for ``device``: ``cpu``, ``cuda``, None for best.

        Raises:
            ConfigError: ``cuda`` is asked for, and torch is not installed.
        """
        self._smoothing = artifact.smoothing_ticks
        self._scored = slice(*artifact.scored_ticks)
        self.device: Final = device or ("cuda" if cuda_available() else "cpu")
        self.name: Final = f"student-{artifact.sha256[:12]}"
        self._reconstruct: Callable[[Floats], Floats]
        if self.device == "cpu":
            self._reconstruct = CompiledStudent(artifact)
        else:
            try:
                from models.inference.torch_student import TorchStudent
            except ModuleNotFoundError:
                raise ConfigError(f"device {self.device!r}: {_WITHOUT_TORCH}") from None
            self._reconstruct = TorchStudent(artifact, self.device)

    @classmethod
    def load(
        cls, description: Path = SHIPPED_STUDENT, *, device: str | None = None
    ) -> "StudentScorer":
        """Return the scorer in the file ``description``, by default the one that ships.

        Raises:
            ArtifactError: anything is missing, altered, or made for something else.
        """
        return cls(load_student(description), device=device)

    def score(self, windows: Floats) -> ScoredWindows:
        """Score float32[B, 320] windows in [-1, 1]; see `WindowScorer`.

        Raises:
            ValueError: another shape, or a value that is not finite or outside [-1, 1].
        """
        if windows.ndim != 2 or windows.shape[1] != WINDOW_SAMPLES:
            raise ValueError(f"windows of shape {windows.shape}, not [B, {WINDOW_SAMPLES}]")
        windows = np.ascontiguousarray(windows, dtype=np.float32)
        # A thousandth of slack for the rounding of the scaling; NaN fails the comparison too.
        if not (np.abs(windows) <= 1.001).all():
            raise ValueError("a window holds a value that is not finite or outside [-1, 1]")
        residuals = self._reconstruct(windows)
        np.subtract(windows, residuals, out=residuals)
        scores = smoothed_score(residuals, self._smoothing, self._scored)
        return ScoredWindows(scores=scores, residuals=residuals)


def smoothed_score(residuals: Floats, ticks: int, part: slice) -> Floats:
    """Return the mean square over ``part`` of each row after a moving average, float32[B].

    Outside the window the residual counts as zero.
    """
    scored = np.empty((len(residuals), part.stop - part.start), dtype=np.float32)
    smooth(residuals, ticks, part.start, scored)
    scores: Floats = np.add.reduce(np.square(scored, out=scored), axis=1)
    scores /= scored.shape[1]
    return scores


class CompiledStudent:
    """The autoencoder as one compiled pass."""

    def __init__(self, artifact: StudentArtifact) -> None:
        """Arrange the weights once, so that a batch only multiplies."""
        tensors = artifact.tensors
        widths = [artifact.width << stage for stage in range(STAGES)]
        layers = Layers()
        x = window = layers.place(WINDOW_SAMPLES, 1, margin=1)
        for stage, width in enumerate(widths):
            out = layers.place(x.ticks // 2, width, margin=1)
            weight, bias = (tensors.get(f"encoder.{stage}.{part}") for part in ("weight", "bias"))
            assert weight is not None
            layers.convolve(x, weight, bias, out, LEAK, stride=2, padding=1)
            x = out
        latent = layers.place(1, artifact.latent)
        layers.connect(x, tensors["latent.weight"].transpose(0, 2, 1)[None], None, latent, LINEAR)
        x = layers.place(x.ticks, widths[-1], margin=1)
        weight = tensors["decoder.0.weight"].transpose(2, 1, 0)[:, :, None]
        layers.connect(latent, weight, tensors["decoder.0.bias"], x, RECTIFIED)
        for stage, width in enumerate(reversed(widths[:-1]), 1):
            out = layers.place(2 * x.ticks, width, margin=1)
            weight, bias = (tensors[f"decoder.{stage}.{part}"] for part in ("weight", "bias"))
            layers.convolve_transposed(x, weight, bias, out, RECTIFIED)
            x = out
        found = layers.place(WINDOW_SAMPLES, 1)
        layers.convolve_transposed(x, tensors["output.weight"], None, found, LINEAR)
        self._layers, self._window, self._found = layers, window, found

    def __call__(self, windows: Floats) -> Floats:
        """Return the reconstructions float32[B, 320] of windows float32[B, 320]."""
        found = self._layers.compute([(self._window, windows)], self._found, len(windows))
        return np.tanh(found, out=found)


def cuda_available() -> bool:
    """Return whether torch can compute on CUDA; imports torch only where a driver is installed."""
    if not _has_cuda_driver():
        return False
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()


def cuda_state() -> str:
    """Return the device on which torch computes with CUDA, or why it cannot."""
    if not _has_cuda_driver():
        return "not available: no CUDA driver on this machine"
    try:
        import torch
    except ModuleNotFoundError:
        return f"not available: there is a driver, but {_WITHOUT_TORCH}"
    if torch.version.cuda is None:
        return f"not available: there is a driver, but torch {torch.__version__} is built for CPUs"
    if not torch.cuda.is_available():
        return f"not available: the driver has no device for CUDA {torch.version.cuda}"
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
