"""The trained student in torch, for CUDA.

Every batch is padded to one fixed size, so that one kernel with one order of summation computes
them all and a beat's result does not depend on the other beats of its batch. On CUDA these kernels
are captured once as a graph, and a batch is one launch of it: some twenty kernels of microseconds
would otherwise wait for the processor. Windows and reconstructions pass through memory that the
device reads and writes by itself.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.files.student import STAGES, StudentArtifact
from pipeline.constants import WINDOW_SAMPLES

FIXED_BATCH: Final = 256
LEAK: Final = 0.2

_WARM_UPS: Final = 3
"""Before a capture libraries make their workspaces, which a graph cannot."""


class TorchStudent:
    """Reconstructs windows on one torch device. Thread-safe."""

    def __init__(self, artifact: StudentArtifact, device: str) -> None:
        """Move the weights of ``artifact`` to ``device``."""
        self._device = torch.device(device)
        self._tensors = {
            name: torch.from_numpy(tensor).to(self._device)
            for name, tensor in artifact.tensors.items()
        }
        self._batch: Callable[[NDArray[np.float32]], NDArray[np.float32]] = self._on_cpu
        if self._device.type == "cuda":
            self._batch = _CapturedBatch(self._forward, self._device)

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the reconstructions float32[B, 320] of windows float32[B, 320]."""
        out = np.empty_like(windows)
        for first in range(0, len(windows), FIXED_BATCH):
            part = slice(first, first + FIXED_BATCH)
            out[part] = self._batch(windows[part])
        return out

    def _on_cpu(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = torch.zeros(FIXED_BATCH, 1, WINDOW_SAMPLES)
        padded.numpy()[: len(windows), 0] = windows
        return self._forward(padded)[: len(windows), 0].numpy()

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        # TF32 would keep ten bits of the mantissa.
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False),
        ):
            return self._layers(x)

    def _layers(self, x: torch.Tensor) -> torch.Tensor:
        t = self._tensors
        for stage in range(STAGES):
            x = functional.conv1d(
                x, t[f"encoder.{stage}.weight"], t.get(f"encoder.{stage}.bias"), 2, 1
            )
            x = functional.leaky_relu(x, LEAK)
        x = functional.conv1d(x, t["latent.weight"])
        x = functional.conv_transpose1d(x, t["decoder.0.weight"], t["decoder.0.bias"]).relu()
        for stage in range(1, STAGES):
            x = functional.conv_transpose1d(
                x, t[f"decoder.{stage}.weight"], t[f"decoder.{stage}.bias"], 2, 1
            ).relu()
        return functional.conv_transpose1d(x, t["output.weight"], None, 2, 1).tanh()


class _CapturedBatch:
    """One batch on a CUDA device, as a graph; PyTorch's documentation, "CUDA Graphs".

    1. Windows go into pinned memory, which the device copies from without the processor.
    2. The graph reads one place of the device's memory and writes another, always the same ones.
    3. The reconstructions come back into pinned memory, and the processor waits for them once.
    """

    def __init__(
        self, forward: Callable[[torch.Tensor], torch.Tensor], device: torch.device
    ) -> None:
        """Capture what ``forward`` does with float32[FIXED_BATCH, 1, 320] on ``device``."""
        shape = (FIXED_BATCH, 1, WINDOW_SAMPLES)
        self._lock = Lock()
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()
            self._sent = torch.zeros(shape, pin_memory=True)
            self._received = torch.zeros(shape, pin_memory=True)
            self._input = torch.zeros(shape, device=device)
            with torch.cuda.stream(self._stream):
                self._stream.wait_stream(torch.cuda.default_stream())
                for _ in range(_WARM_UPS):
                    forward(self._input)
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._output = forward(self._input)

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the reconstructions of at most `FIXED_BATCH` windows."""
        n = len(windows)
        with self._lock, torch.inference_mode(), torch.cuda.stream(self._stream):
            # What a larger batch left behind the last window is computed, too, and not looked at.
            self._sent.numpy()[:n, 0] = windows
            self._input.copy_(self._sent, non_blocking=True)
            self._graph.replay()
            self._received.copy_(self._output, non_blocking=True)
            self._stream.synchronize()
            return self._received.numpy()[:n, 0].copy()
