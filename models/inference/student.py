"""Score beats with the trained student: compiled on the CPU, torch on CUDA where there is one.

`StudentScorer` is the part of a scorer (`models.inference.beat_scorer`) that gives scores and
residuals. On the CPU it needs no torch, which saves a scorer process two seconds and about 200 MB.
The score is the mean square of the residual after smoothing: noise averages out, a misshapen wave
does not. It counts the ticks up to the beginning of the T wave, whose shape varies in normal beats
too. Both were chosen on the validation part.

**A window's result never depends on its batch.** On the CPU each beat has a lane of its own
(`models.inference.lanes`), and everything else is computed element by element or row by row. On
CUDA every batch is padded to one size. The tests demand exact equality.

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
from models.inference.lanes import LaneNetwork, Plane, whole
from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import ConfigError
from pipeline.signal.kernels.network.product import LANES

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
            self._reconstruct = LaneStudent(artifact)
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
        residuals = windows - self._reconstruct(windows)
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


class LaneStudent:
    """The autoencoder, 16 beats at a time.

    A convolution of kernel 4, stride 2 and padding 1 reads four ticks for each that it writes. Its
    transpose writes two ticks for each two that it reads: the earlier from tick t - 1 and t, the
    later from t and t + 1.
    """

    def __init__(self, artifact: StudentArtifact) -> None:
        """Arrange the weights once."""
        tensors = artifact.tensors
        self._network = network = LaneNetwork()
        self._window = x = network.plane(WINDOW_SAMPLES, 1, before=1, after=1)
        for stage in range(STAGES):
            weight = tensors[f"encoder.{stage}.weight"]
            bias = tensors.get(f"encoder.{stage}.bias", _none(len(weight)))
            out = network.plane(x.ticks // 2, whole(len(weight)), before=1, after=1)
            network.layer(
                x, weight.transpose(2, 1, 0), bias, out,
                leak=LEAK, taps=4, first=-1, step=2, times=out.ticks,
            )  # fmt: skip
            x = out
        weight = tensors["latent.weight"]
        latent = network.plane(1, whole(len(weight)))
        network.layer(
            x, weight.transpose(2, 1, 0), _none(len(weight)), latent, taps=x.ticks, times=1
        )
        x = self._spread(latent, tensors["decoder.0.weight"], tensors["decoder.0.bias"])
        for stage in range(1, STAGES):
            weight, bias = tensors[f"decoder.{stage}.weight"], tensors[f"decoder.{stage}.bias"]
            x = self._transposed(x, weight, bias, leak=0.0)
        self._output = self._transposed(x, tensors["output.weight"], _none(1), leak=1.0)

    def _spread(self, latent: Plane, weight: Floats, bias: Floats) -> Plane:
        """Write all ticks of the first plane of the decoder, as if they were channels of one."""
        inputs, channels, ticks = weight.shape
        out = self._network.plane(ticks, whole(channels), before=1, after=1)
        all_ticks = np.zeros((1, inputs, ticks, out.channels), dtype=np.float32)
        all_ticks[0, :, :, :channels] = weight.transpose(0, 2, 1)
        biases = np.zeros((ticks, out.channels), dtype=np.float32)
        biases[:, :channels] = bias
        self._network.layer(
            latent, all_ticks.reshape(1, inputs, -1), biases.ravel(), out, leak=0.0, times=1
        )
        return out

    def _transposed(self, x: Plane, weight: Floats, bias: Floats, *, leak: float) -> Plane:
        out = self._network.plane(2 * x.ticks, whole(weight.shape[1]), before=1, after=1)
        taps = weight.transpose(2, 0, 1)
        for parity, pair in enumerate(([3, 1], [2, 0])):
            self._network.layer(
                x, taps[pair], bias, out,
                leak=leak, taps=2, first=parity - 1, onto=parity, onto_step=2, times=x.ticks,
            )  # fmt: skip
        return out

    def __call__(self, windows: Floats) -> Floats:
        """Return the reconstructions float32[B, 320] of windows float32[B, 320]."""
        out = np.empty_like(windows)
        for first in range(0, len(windows), LANES):
            tile = windows[first : first + LANES]
            self._network.write(self._window, tile)
            self._network.run()
            np.tanh(self._network.read(self._output)[: len(tile)], out=out[first : first + LANES])
        return out


def _none(outputs: int) -> Floats:
    return np.zeros(outputs, dtype=np.float32)


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
