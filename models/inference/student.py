"""Score beats with the trained student: numpy on the CPU, torch on CUDA where there is one.

`StudentScorer` is the part of a scorer (`models.inference.beat_scorer`) that gives scores and
residuals. On the CPU it needs no torch, which saves a scorer process two seconds and about 200 MB.
The score is the mean square of the residual after smoothing: noise averages out, a misshapen wave
does not. It counts the ticks up to the beginning of the T wave, whose shape varies in normal beats
too. Both were chosen on the validation part.

**A window's result never depends on its batch.** BLAS may sum a product of other size in another
order, so each beat passes through products of its own, always of the same shapes (`np.matmul`
calls BLAS once per beat of a stack), and everything else is computed element by element or row by
row. On CUDA every batch is padded to one size. The tests demand exact equality.

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
from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import ConfigError

STUDENT_WIDTH: Final = 8
STUDENT_LATENT: Final = 6
SMOOTHING_TICKS: Final = 31
SCORED_TICKS: Final = (20, 200)
"""333 ms before to 167 ms after the R peak."""

LEAK: Final = np.float32(0.2)
TILE: Final = 16
"""Beats computed together: their activations stay in the processor's cache."""

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
            self._reconstruct = NumpyStudent(artifact)
        else:
            try:
                from models.inference.torch_student import TorchStudent
            except ModuleNotFoundError:
                raise ConfigError(f"--device {self.device}: {_WITHOUT_TORCH}") from None
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
        residuals = np.empty_like(windows)
        for first in range(0, len(windows), TILE):
            tile = windows[first : first + TILE]
            np.subtract(tile, self._reconstruct(tile), out=residuals[first : first + TILE])
        scores = smoothed_score(residuals, self._smoothing, self._scored)
        return ScoredWindows(scores=scores, residuals=residuals)


def smoothed_score(residuals: Floats, ticks: int, part: slice) -> Floats:
    """Return the mean square over ``part`` of each row after a moving average, float32[B].

    Outside the window the residual counts as zero.
    """
    margin = ticks // 2
    padded = np.zeros((len(residuals), WINDOW_SAMPLES + 2 * margin), dtype=np.float32)
    padded[:, margin : margin + WINDOW_SAMPLES] = residuals
    smooth = padded[:, :WINDOW_SAMPLES].copy()
    for shift in range(1, ticks):
        smooth += padded[:, shift : shift + WINDOW_SAMPLES]
    smooth *= np.float32(1 / ticks)
    scored = np.ascontiguousarray(smooth[:, part])
    scores: Floats = np.square(scored, out=scored).mean(axis=1)
    return scores


class NumpyStudent:
    """The autoencoder as products of matrices, channels last.

    A convolution of kernel 4, stride 2 and padding 1 sees its padded input as pairs of samples:
    output t is pair t times one matrix plus pair t + 1 times another. Its transpose computes two
    outputs from each input and adds the overlap with the neighbours. Nothing is gathered or copied
    except into the padding.
    """

    def __init__(self, artifact: StudentArtifact) -> None:
        """Arrange the weights once, so that a batch only multiplies."""
        tensors = artifact.tensors
        self._encoder = [
            (
                *_pair_matrices(tensors[f"encoder.{stage}.weight"]),
                tensors.get(f"encoder.{stage}.bias"),
            )
            for stage in range(STAGES)
        ]
        self._latent = _matrix(tensors["latent.weight"].transpose(2, 1, 0), rows=2)
        self._first = _matrix(tensors["decoder.0.weight"].transpose(0, 2, 1), rows=1)
        self._first_bias = tensors["decoder.0.bias"]
        self._decoder = [
            (
                *_own_and_overlap(tensors[f"decoder.{stage}.weight"]),
                tensors[f"decoder.{stage}.bias"],
            )
            for stage in range(1, STAGES)
        ]
        self._output = _own_and_overlap(tensors["output.weight"])

    def __call__(self, windows: Floats) -> Floats:
        """Return the reconstructions float32[B, 320] of windows float32[B, 320]."""
        x = windows[:, :, None]
        for earlier, later, bias in self._encoder:
            x = _convolve(x, earlier, later)
            if bias is not None:
                x += bias
            np.maximum(x, x * LEAK, out=x)
        beats = len(windows)
        latent = np.matmul(x.reshape(beats, 1, -1), self._latent)
        x = np.matmul(latent, self._first).reshape(beats, -1, self._first_bias.size)
        x += self._first_bias
        np.maximum(x, 0, out=x)
        for own, overlap, bias in self._decoder:
            x = _convolve_transposed(x, own, overlap)
            x += bias
            np.maximum(x, 0, out=x)
        return np.tanh(_convolve_transposed(x, *self._output)[:, :, 0])


def _matrix(stack: Floats, *, rows: int) -> Floats:
    """Return a three-dimensional array as a matrix; its first ``rows`` axes become the rows."""
    n = int(np.prod(stack.shape[:rows]))
    return np.ascontiguousarray(stack.reshape(n, -1))


def _pair_matrices(weight: Floats) -> tuple[Floats, Floats]:
    """Split a convolution's [out, in, 4] into [2 in, out] for its earlier and its later pair."""
    taps = weight.transpose(2, 1, 0)
    return _matrix(taps[:2], rows=2), _matrix(taps[2:], rows=2)


def _convolve(x: Floats, earlier: Floats, later: Floats) -> Floats:
    """[B, T, in] -> [B, T / 2, out]."""
    beats, ticks, channels = x.shape
    padded = np.zeros((beats, ticks + 2, channels), dtype=np.float32)
    padded[:, 1:-1] = x
    pairs = padded.reshape(beats, ticks // 2 + 1, 2 * channels)
    out: Floats = np.matmul(pairs[:, :-1], earlier)
    out += np.matmul(pairs[:, 1:], later)
    return out


def _own_and_overlap(weight: Floats) -> tuple[Floats, Floats]:
    """Split a transposed convolution's [in, out, 4] into two [in, 2 out].

    Input t makes outputs 2t and 2t + 1 with the first, and adds to 2t + 2 and 2t - 1 with the
    second.
    """
    taps = weight.transpose(0, 2, 1)
    return _matrix(taps[:, [1, 2]], rows=1), _matrix(taps[:, [3, 0]], rows=1)


def _convolve_transposed(x: Floats, own: Floats, overlap: Floats) -> Floats:
    """[B, T, in] -> [B, 2 T, out]."""
    beats, ticks, _ = x.shape
    out: Floats = np.matmul(x, own).reshape(beats, 2 * ticks, -1)
    across = np.matmul(x, overlap).reshape(beats, 2 * ticks, -1)
    out[:, 2::2] += across[:, :-2:2]
    out[:, 1:-1:2] += across[:, 3::2]
    return out


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
