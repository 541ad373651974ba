"""The teacher as a function, for timing it beside the student."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from models.beatgan import Autoencoder

Reconstruct = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def teacher_reconstruction() -> Reconstruct:
    """Return BeatGAN's generator, float32[B, 320] to float32[B, 320], on one CPU thread.

    Its weights are random: they do not change the time.
    """
    torch.set_num_threads(1)
    network = Autoencoder().eval()

    @torch.inference_mode()
    def reconstruct(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = network(torch.from_numpy(windows)[:, None, :])[:, 0].numpy()
        return found

    return reconstruct
