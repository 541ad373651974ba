"""The network of the classifier, compiled.

`ClassifierScorer` satisfies `Classifier` and needs no torch. A beat's result never depends on its
batch, see `models.inference.layers`.

Thread-safe: a classifier does not change after it is made.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.classifier import (
    CONTEXT_WIDTH,
    FLAT_WIDTH,
    HEAD_WIDTH,
    INNER_WIDTHS,
    LEAK,
    SHIPPED_CLASSIFIER,
    SKIP_WIDTH,
    STEM_KERNEL,
    STEM_SAMPLES,
    STEM_STRIDE,
    STEM_WIDTH,
    WIDTHS,
    ClassifierArtifact,
    load_classifier,
)
from models.inference.layers import LINEAR, Layers, Ticks
from pipeline.constants import CLASSES, WINDOW_SAMPLES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS
from pipeline.signal.kernels.network import probabilities as kernel

STEM_PADDING: Final = (STEM_KERNEL - STEM_STRIDE) // 2
"""Zeros that the first output sees before the window."""

CONTEXTS: Final = len(CONTEXT_COLUMNS)

Floats = NDArray[np.float32]


class ClassifierScorer:
    """The classifier, ready to classify."""

    def __init__(self, artifact: ClassifierArtifact) -> None:
        """Arrange the weights once, so that a batch only multiplies."""
        self.name: Final = f"classifier-{artifact.sha256[:12]}"
        layers, tensors = Layers(), artifact.tensors
        self._window = layers.place(WINDOW_SAMPLES, 1, margin=STEM_KERNEL)
        self._context = layers.place(1, CONTEXTS)
        x = layers.place(STEM_SAMPLES, STEM_WIDTH)
        weight, bias = (tensors[f"window.{part}"] for part in ("weight", "bias"))
        layers.convolve(
            self._window, weight[:STEM_WIDTH], bias[:STEM_WIDTH], x, LEAK,
            stride=STEM_STRIDE, padding=STEM_PADDING,
        )  # fmt: skip
        for stage in range(len(WIDTHS)):
            x = _add_stage(layers, tensors, stage, self._window, x)
        self._logits = _add_head(layers, tensors, self._context, x)
        self._layers = layers

    @classmethod
    def load(cls, description: Path = SHIPPED_CLASSIFIER) -> "ClassifierScorer":
        """Return the classifier in the file ``description``, by default the one that ships.

        Raises:
            ArtifactError: anything is missing, altered, or made for something else.
        """
        return cls(load_classifier(description))

    def classify(self, windows: Floats, context: Floats) -> Floats:
        """Return the probabilities of `CLASSES`, float32[B, 4], rows of sum 1.

        Args:
            windows: float32[B, 320] in [-1, 1]; B may be any number, 0 included.
            context: float32[B, CONTEXTS], of `pipeline.scoring.beat_measures.CONTEXT_COLUMNS`.

        Raises:
            ValueError: another shape, a window value that is not finite or outside [-1, 1], or a
                context that is not finite.
        """
        beats = len(windows)
        if windows.shape != (beats, WINDOW_SAMPLES) or context.shape != (beats, CONTEXTS):
            raise ValueError(
                f"windows of shape {windows.shape} and contexts of shape {context.shape}, not "
                f"[B, {WINDOW_SAMPLES}] and [B, {CONTEXTS}]"
            )
        # A thousandth of slack for the rounding of the scaling; NaN fails the comparison too.
        if not (np.abs(windows) <= 1.001).all() or not np.isfinite(context).all():
            raise ValueError("a value is not finite, or a window's is outside [-1, 1]")
        given = (self._window, windows), (self._context, context)
        logits = self._layers.compute(given, self._logits, beats)
        kernel.less_highest(logits)
        np.exp(logits, out=logits)
        kernel.of_sum_one(logits)
        return logits


def _add_stage(
    layers: Layers, tensors: Mapping[str, Floats], stage: int, window: Ticks, x: Ticks
) -> Ticks:
    """Add a stage over ``x``; return where its outputs lie, the skipped channels last."""
    parts = {
        name: (tensors[f"stages.{stage}.{name}.weight"], tensors[f"stages.{stage}.{name}.bias"])
        for name in ("reduce", "grouped", "expand", "shortcut")
    }
    width, inner_width = WIDTHS[stage], INNER_WIDTHS[stage]
    inner = layers.place(x.ticks, inner_width, margin=1)
    layers.convolve(x, *parts["reduce"], inner, LEAK)
    halved = layers.place(x.ticks // 2, inner_width)
    layers.convolve_each(inner, *parts["grouped"], halved, LEAK, stride=2)

    out = layers.place(x.ticks // 2, width + SKIP_WIDTH)
    skipped, bias = _skipped(tensors, stage)
    everything = np.zeros((out.channels, *skipped.shape[1:]), dtype=np.float32)
    everything[width:] = skipped
    biases = np.concatenate((parts["shortcut"][1] + parts["expand"][1], bias))
    layers.convolve(
        window, everything, biases, out, LINEAR,
        stride=WINDOW_SAMPLES // out.ticks, padding=STEM_PADDING,
    )  # fmt: skip
    # The mean of two ticks, convolved, is a convolution of both with half the weights.
    both = np.repeat(parts["shortcut"][0] / np.float32(2.0), 2, axis=2)
    layers.convolve(x, _filled(both, out), None, out, LINEAR, stride=2, added=True)
    slopes = np.full(out.channels, LINEAR, dtype=np.float32)
    slopes[:width] = LEAK
    layers.convolve(halved, _filled(parts["expand"][0], out), None, out, slopes, added=True)
    return out


def _skipped(tensors: Mapping[str, Floats], stage: int) -> tuple[Floats, Floats]:
    """Return weights and biases of the channels that skip to a stage, as one convolution.

    They are means over ticks of a convolution of the window.
    """
    ticks = 2 << stage
    channels = slice(STEM_WIDTH + stage * SKIP_WIDTH, STEM_WIDTH + (stage + 1) * SKIP_WIDTH)
    weight = tensors["window.weight"][channels]
    mean = np.zeros((SKIP_WIDTH, 1, (ticks - 1) * STEM_STRIDE + STEM_KERNEL), dtype=np.float64)
    for tick in range(ticks):
        mean[:, :, tick * STEM_STRIDE : tick * STEM_STRIDE + STEM_KERNEL] += weight / ticks
    return mean.astype(np.float32), tensors["window.bias"][channels]


def _filled(weight: Floats, out: Ticks) -> Floats:
    """Return weights with zeros for the last channels of ``out``, which are left as they are."""
    filled = np.zeros((out.channels, *weight.shape[1:]), dtype=np.float32)
    filled[: len(weight)] = weight
    return filled


def _add_head(layers: Layers, tensors: Mapping[str, Floats], context: Ticks, x: Ticks) -> Ticks:
    """Add what joins window and context; return where the logits lie."""
    # PyTorch flattens with the channels first.
    flat = tensors["flat.weight"].reshape(1, FLAT_WIDTH, x.channels, x.ticks)
    both = layers.place(2, max(FLAT_WIDTH, CONTEXT_WIDTH))
    from_window, from_context = _ticks_of(both, FLAT_WIDTH, CONTEXT_WIDTH)
    layers.connect(x, flat.swapaxes(2, 3), tensors["flat.bias"], from_window, LEAK)
    weight = tensors["context.weight"][None, :, None]
    layers.connect(context, weight, tensors["context.bias"], from_context, LEAK)
    weight = np.zeros((1, HEAD_WIDTH, 2, both.channels), dtype=np.float32)
    weight[0, :, 0, :FLAT_WIDTH] = tensors["join.weight"][:, :FLAT_WIDTH]
    weight[0, :, 1, :CONTEXT_WIDTH] = tensors["join.weight"][:, FLAT_WIDTH:]
    joined = layers.place(1, HEAD_WIDTH)
    layers.connect(both, weight, tensors["join.bias"], joined, LEAK)
    logits = layers.place(1, len(CLASSES))
    weight = tensors["head.weight"][None, :, None]
    layers.connect(joined, weight, tensors["head.bias"], logits, LINEAR)
    return logits


def _ticks_of(place: Ticks, *channels: int) -> list[Ticks]:
    """Return the ticks of a place one by one; ``channels`` says how many each has."""
    return [
        Ticks(place.at + tick * place.width, 1, n, place.width) for tick, n in enumerate(channels)
    ]
