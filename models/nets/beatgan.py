"""The BeatGAN teacher: its three networks and its two losses.

Autoencoder, initial weights and losses as published (Zhou, Liu, Hooi, Cheng and Ye, "BeatGAN:
Anomalous Rhythm Detection using Adversarially Generated Time Series", IJCAI 2019): an
autoencoder reconstructs a beat, a discriminator distinguishes beats from reconstructions, and the
autoencoder also has to match the discriminator's features. What the autoencoder cannot
reconstruct is anomalous.

The discriminator departs from the paper. As published, it recognises every reconstruction after a
few epochs and then gives no useful gradient. Here spectral normalisation (Miyato, Kataoka, Koyama
and Yoshida, ICLR 2018) replaces its BatchNorm: no layer can amplify a small difference, so a
reconstruction that comes near its beat also comes near it in the features.

The student has the same layout, narrower: see `models.inference.student`. Shapes are in the names:
B beats, C channels, T samples of the window. Callers choose the mode with ``train()`` and
``eval()``: BatchNorm behaves differently in each.
"""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from pipeline.constants import WINDOW_SAMPLES

BEATGAN_WIDTH: Final = 32
BEATGAN_LATENT: Final = 50
"""As published; the teachers and the student are narrower."""
STAGES: Final = 5
"""Each halves the window: 320 samples become 10."""

BOTTLENECK_SAMPLES: Final = WINDOW_SAMPLES >> STAGES
"""Kernel of the layer into the latent vector and of the one out of it."""

INITIAL_SPREAD: Final = 0.02
LEAK: Final = 0.2


def channels(width: int) -> list[int]:
    """Return the channels after each stage of an encoder whose first has ``width``."""
    return [width << stage for stage in range(STAGES)]


class Encoder(nn.Module):
    """[B, 1, 320] -> features [B, 16 width, 10] -> [B, outputs, 1]."""

    def __init__(self, width: int, outputs: int, *, batch_norm: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv1d(1, width, 4, 2, 1, bias=False), nn.LeakyReLU(LEAK)]
        for before, after in pairwise(channels(width)):
            layers.append(nn.Conv1d(before, after, 4, 2, 1, bias=False))
            if batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(nn.LeakyReLU(LEAK))
        self.features = nn.Sequential(*layers)
        self.head = nn.Conv1d(channels(width)[-1], outputs, BOTTLENECK_SAMPLES, bias=False)

    def forward(self, x_b1t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the head's output [B, outputs, 1] and the features before it."""
        features = self.features(x_b1t)
        return self.head(features), features


class Decoder(nn.Module):
    """[B, latent, 1] -> [B, 1, 320], in (-1, 1)."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        widest_first = channels(width)[::-1]
        layers: list[nn.Module] = [
            nn.ConvTranspose1d(latent, widest_first[0], BOTTLENECK_SAMPLES, bias=False),
            nn.BatchNorm1d(widest_first[0]),
            nn.ReLU(),
        ]
        for before, after in pairwise(widest_first):
            layers += [
                nn.ConvTranspose1d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm1d(after),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose1d(width, 1, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latent_bl1: Tensor) -> Tensor:
        """Return the beats, [B, 1, 320], that the latent vectors encode."""
        beats: Tensor = self.layers(latent_bl1)
        return beats


class Autoencoder(nn.Module):
    """BeatGAN's generator: a beat through the bottleneck and back."""

    def __init__(self, width: int = BEATGAN_WIDTH, latent: int = BEATGAN_LATENT) -> None:
        super().__init__()
        self.width = width
        self.latent = latent
        self.encoder = Encoder(width, latent)
        self.decoder = Decoder(width, latent)

    def forward(self, x_b1t: Tensor) -> Tensor:
        """Return the reconstruction [B, 1, 320] of the beats."""
        latent, _ = self.encoder(x_b1t)
        beats: Tensor = self.decoder(latent)
        return beats


class Discriminator(nn.Module):
    """The encoder with one output: whether it sees a beat or a reconstruction.

    Without BatchNorm; `normalise_spectrally` belongs after `initialise`.
    """

    def __init__(self, width: int = BEATGAN_WIDTH) -> None:
        super().__init__()
        self.encoder = Encoder(width, 1, batch_norm=False)

    def forward(self, x_b1t: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B] (their sigmoid is BeatGAN's D) and the features."""
        logits, features = self.encoder(x_b1t)
        return logits.flatten(), features


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights: N(0, 0.02), BatchNorm N(1, 0.02) with bias 0; reset running statistics."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            nn.init.normal_(module.weight, 0.0, INITIAL_SPREAD, generator=generator)
        elif isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
            nn.init.normal_(module.weight, 1.0, INITIAL_SPREAD, generator=generator)
            nn.init.zeros_(module.bias)


def normalise_spectrally(network: nn.Module, seed: int) -> None:
    """Hold the largest singular value of each convolution's weights at 1, from now on.

    By power iteration, one step each time the network runs in training mode. Each weight is the
    matrix of its outputs against everything else. ``seed`` starts the iterations, which are part
    of the result. The global random state of torch stays as it is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Conv1d):
                spectral_norm(module)


def discriminator_loss(real_b: Tensor, reconstructed_b: Tensor) -> Tensor:
    """BCE(D(x), 1) + BCE(D(x'), 0), from logits in float32."""
    return functional.binary_cross_entropy_with_logits(
        real_b.float(), torch.ones_like(real_b, dtype=torch.float32)
    ) + functional.binary_cross_entropy_with_logits(
        reconstructed_b.float(), torch.zeros_like(reconstructed_b, dtype=torch.float32)
    )


def generator_loss(
    x_b1t: Tensor,
    reconstruction_b1t: Tensor,
    features: Tensor,
    reconstruction_features: Tensor,
    adversarial_weight: float,
) -> Tensor:
    """MSE(x, x') + w_adv MSE(f_D(x), f_D(x')), in float32."""
    residual = functional.mse_loss(reconstruction_b1t.float(), x_b1t)
    matching = functional.mse_loss(reconstruction_features.float(), features.float())
    return residual + adversarial_weight * matching
