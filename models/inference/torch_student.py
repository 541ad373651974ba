"""The trained student in torch, for CUDA.

Every batch is padded to one fixed size, so that one kernel with one order of summation computes
them all and a beat's result does not depend on the other beats of its batch.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.files.student import STAGES, StudentArtifact
from pipeline.constants import WINDOW_SAMPLES

FIXED_BATCH: Final = 256
LEAK: Final = 0.2


class TorchStudent:
    """Reconstructs windows on one torch device."""

    def __init__(self, artifact: StudentArtifact, device: str) -> None:
        """Move the weights of ``artifact`` to ``device``."""
        self._device = torch.device(device)
        self._tensors = {
            name: torch.from_numpy(tensor).to(self._device)
            for name, tensor in artifact.tensors.items()
        }

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the reconstructions float32[B, 320] of windows float32[B, 320]."""
        out = np.empty_like(windows)
        for first in range(0, len(windows), FIXED_BATCH):
            part = windows[first : first + FIXED_BATCH]
            padded = torch.zeros(FIXED_BATCH, 1, WINDOW_SAMPLES)
            padded[: len(part), 0] = torch.tensor(part)  # a copy: ``part`` may be a frame's bytes
            # TF32 would keep ten bits of the mantissa.
            with (
                torch.inference_mode(),
                torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False),
            ):
                reconstruction = self._forward(padded.to(self._device))
            out[first : first + FIXED_BATCH] = reconstruction[: len(part), 0].cpu().numpy()
        return out

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
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
