"""The network of the classifier, in numpy.

`ClassifierScorer` satisfies `Classifier` and needs no torch. Every
convolution is a product of matrices over the patches of its input, channels last; the grouped ones
have zeros between their groups, for at these sizes one dense product is faster than 32 small ones.

**A beat's result never depends on its batch**: as in `models.inference.student`, each beat passes
through products of its own, always of the same shapes, and everything else is computed element by
element or row by row.

Thread-safe: a classifier does not change after it is made.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.files.classifier import (
    GROUPS,
    LEAK,
    SHIPPED_CLASSIFIER,
    SKIP_WIDTH,
    STEM_KERNEL,
    STEM_STRIDE,
    STEM_WIDTH,
    WIDTHS,
    ClassifierArtifact,
    load_classifier,
)
from pipeline.constants import CLASSES, WINDOW_SAMPLES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS

TILE: Final = 16
"""Beats computed together: their activations stay in the processor's cache."""

CONTEXTS: Final = len(CONTEXT_COLUMNS)

Floats = NDArray[np.float32]


class ClassifierScorer:
    """The classifier, ready to classify."""

    def __init__(self, artifact: ClassifierArtifact) -> None:
        """Arrange the weights once, so that a batch only multiplies."""
        self.name: Final = f"classifier-{artifact.sha256[:12]}"
        tensors = artifact.tensors
        self._window = _dense(tensors, "window")
        self._stages = [
            {
                part: _dense(tensors, f"stages.{stage}.{part}", GROUPS if part == "grouped" else 1)
                for part in ("reduce", "grouped", "expand", "shortcut")
            }
            for stage in range(len(WIDTHS))
        ]
        self._layers = {
            name: (np.ascontiguousarray(tensors[f"{name}.weight"].T), tensors[f"{name}.bias"])
            for name in ("flat", "context", "join", "head")
        }

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
        probabilities = np.empty((beats, len(CLASSES)), dtype=np.float32)
        for first in range(0, beats, TILE):
            tile = slice(first, first + TILE)
            logits = self._logits(
                np.ascontiguousarray(windows[tile], dtype=np.float32),
                np.ascontiguousarray(context[tile], dtype=np.float32),
            )
            logits -= logits.max(axis=1, keepdims=True)
            np.exp(logits, out=logits)
            probabilities[tile] = logits / logits.sum(axis=1, keepdims=True)
        return probabilities

    def _logits(self, windows: Floats, context: Floats) -> Floats:
        first = _convolve(
            windows[:, :, None], self._window, STEM_KERNEL, stride=STEM_STRIDE, padding=4
        )
        x, given = _leaky(first[:, :, :STEM_WIDTH].copy()), first[:, :, STEM_WIDTH:]
        for stage, parts in enumerate(self._stages):
            inner = _leaky(_convolve(x, parts["reduce"], 1))
            inner = _leaky(_convolve(inner, parts["grouped"], 3, stride=2, padding=1))
            block = _convolve(inner, parts["expand"], 1)
            block += _convolve(_average(x, 2), parts["shortcut"], 1)
            channels = slice(stage * SKIP_WIDTH, (stage + 1) * SKIP_WIDTH)
            untouched = _average(given[:, :, channels], 2 << stage)
            x = np.concatenate((_leaky(block), untouched), axis=2)
        # PyTorch flattens with the channels first.
        flat = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(len(x), 1, -1)
        from_window = _leaky(self._layer("flat", flat))
        from_context = _leaky(self._layer("context", context[:, None]))
        joined = _leaky(self._layer("join", np.concatenate((from_window, from_context), axis=2)))
        return self._layer("head", joined)[:, 0]

    def _layer(self, name: str, x: Floats) -> Floats:
        weight, bias = self._layers[name]
        out: Floats = np.matmul(x, weight)
        out += bias
        return out


def _dense(tensors: Mapping[str, Floats], name: str, groups: int = 1) -> tuple[Floats, Floats]:
    """Return a convolution's [out, in / groups, kernel] as [kernel * in, out], and its bias."""
    weight = tensors[f"{name}.weight"]
    outputs, inputs, kernel = weight.shape
    dense = np.zeros((kernel, groups, inputs, groups, outputs // groups), dtype=np.float32)
    for group, part in enumerate(np.split(weight, groups)):
        dense[:, group, :, group, :] = part.transpose(2, 1, 0)
    return dense.reshape(kernel * groups * inputs, outputs), tensors[f"{name}.bias"]


def _convolve(
    x: Floats,
    weight_and_bias: tuple[Floats, Floats],
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
) -> Floats:
    """[B, T, in] -> [B, T / stride, out]."""
    weight, bias = weight_and_bias
    if kernel > 1:
        beats, ticks, channels = x.shape
        padded = np.zeros((beats, ticks + 2 * padding, channels), dtype=np.float32)
        padded[:, padding : padding + ticks] = x
        patches = sliding_window_view(padded, kernel, axis=1)[:, ::stride].swapaxes(2, 3)
        x = np.ascontiguousarray(patches).reshape(beats, -1, kernel * channels)
    out: Floats = np.matmul(x, weight)
    out += bias
    return out


def _average(x: Floats, ticks: int) -> Floats:
    """[B, T, C] -> [B, T / ticks, C]."""
    beats, length, channels = x.shape
    mean: Floats = x.reshape(beats, length // ticks, ticks, channels).mean(axis=2)
    return mean


def _leaky(x: Floats) -> Floats:
    raised: Floats = np.maximum(x, x * np.float32(LEAK), out=x)
    return raised
