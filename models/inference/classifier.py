"""The network of the classifier, compiled.

`ClassifierScorer` satisfies `Classifier` and needs no torch. Everything in it is a product: means
are, and the grouped convolutions have zeros between their groups. **A beat's result never depends
on its batch**: each beat has a lane of its own (`models.inference.lanes`).

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
    GROUPS,
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
from models.inference.lanes import LaneNetwork, Plane, whole
from pipeline.constants import CLASSES, WINDOW_SAMPLES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS
from pipeline.signal.kernels.network.product import LANES

CONTEXTS: Final = len(CONTEXT_COLUMNS)
STEM_PADDING: Final = (STEM_KERNEL - STEM_STRIDE) // 2

Floats = NDArray[np.float32]


class ClassifierScorer:
    """The classifier, ready to classify."""

    def __init__(self, artifact: ClassifierArtifact) -> None:
        """Arrange the weights once, so that a batch only multiplies."""
        self.name: Final = f"classifier-{artifact.sha256[:12]}"
        tensors = artifact.tensors
        self._network = network = LaneNetwork()
        self._window = network.plane(WINDOW_SAMPLES, 1, before=STEM_PADDING, after=STEM_PADDING)
        x = network.plane(STEM_SAMPLES, whole(STEM_WIDTH))
        given = network.plane(STEM_SAMPLES, whole(SKIP_WIDTH * len(WIDTHS)))
        weight, bias = _taps(tensors["window.weight"]), tensors["window.bias"]
        for out, channels, leak in (
            (x, slice(STEM_WIDTH), LEAK),
            (given, slice(STEM_WIDTH, None), 1.0),
        ):
            network.layer(
                self._window, weight[:, :, channels], bias[channels], out,
                leak=leak, taps=STEM_KERNEL, first=-STEM_PADDING, step=STEM_STRIDE, times=x.ticks,
            )  # fmt: skip
        for stage in range(len(WIDTHS)):
            x = self._stage(tensors, stage, x, given)

        self._context = network.plane(1, CONTEXTS)
        both = network.plane(1, whole(FLAT_WIDTH) + whole(CONTEXT_WIDTH))
        joined = network.plane(1, whole(HEAD_WIDTH))
        self._logits = network.plane(1, whole(len(CLASSES)))
        # PyTorch flattens with the channels first.
        flat = tensors["flat.weight"].reshape(FLAT_WIDTH, -1, x.ticks)
        network.layer(x, _taps(flat), tensors["flat.bias"], both, leak=LEAK, taps=x.ticks, times=1)
        for name, source, target, channel, leak in (
            ("context", self._context, both, whole(FLAT_WIDTH), LEAK),
            ("join", both, joined, 0, LEAK),
            ("head", joined, self._logits, 0, 1.0),
        ):
            weight, bias = tensors[f"{name}.weight"].T[None], tensors[f"{name}.bias"]
            network.layer(source, weight, bias, target, channel=channel, leak=leak, times=1)

    def _stage(self, tensors: Mapping[str, Floats], stage: int, x: Plane, given: Plane) -> Plane:
        """Append the block of a stage, and what the window gives it past all blocks."""
        network = self._network
        weights = {
            part: _taps(tensors[f"stages.{stage}.{part}.weight"])
            for part in ("reduce", "expand", "shortcut")
        } | {"grouped": _dense(tensors[f"stages.{stage}.grouped.weight"])}
        biases = {part: tensors[f"stages.{stage}.{part}.bias"] for part in weights}
        inner = network.plane(x.ticks, INNER_WIDTHS[stage], before=1, after=1)
        narrow = network.plane(x.ticks // 2, INNER_WIDTHS[stage])
        out = network.plane(narrow.ticks, whole(WIDTHS[stage]) + whole(SKIP_WIDTH))
        network.layer(x, weights["reduce"], biases["reduce"], inner, leak=LEAK, times=x.ticks)
        network.layer(
            inner, weights["grouped"], biases["grouped"], narrow,
            leak=LEAK, taps=3, first=-1, step=2, times=out.ticks,
        )  # fmt: skip
        bias = biases["expand"] + biases["shortcut"]
        network.layer(narrow, weights["expand"], bias, out, times=out.ticks)
        mean_of_two = np.repeat(weights["shortcut"] * np.float32(0.5), 2, axis=0)
        network.layer(x, mean_of_two, None, out, leak=LEAK, taps=2, step=2, times=out.ticks)
        ticks = given.ticks // out.ticks
        mean = np.zeros((ticks, given.channels, SKIP_WIDTH), dtype=np.float32)
        for channel in range(SKIP_WIDTH):
            mean[:, stage * SKIP_WIDTH + channel, channel] = 1 / ticks
        network.layer(
            given, mean, np.zeros(SKIP_WIDTH, dtype=np.float32), out,
            channel=whole(WIDTHS[stage]), taps=ticks, step=ticks, times=out.ticks,
        )  # fmt: skip
        return out

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
        for first in range(0, beats, LANES):
            tile = slice(first, first + LANES)
            self._network.write(self._window, windows[tile])
            self._network.write(self._context, context[tile])
            self._network.run()
            probabilities[tile] = self._network.read(self._logits, len(CLASSES))[: beats - first]
        probabilities -= probabilities.max(axis=1, keepdims=True)
        np.exp(probabilities, out=probabilities)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities


def _taps(weight: Floats) -> Floats:
    """Return a convolution's [out, in, kernel] as [kernel, in, out]."""
    return weight.transpose(2, 1, 0)


def _dense(grouped: Floats) -> Floats:
    """Return a grouped convolution's [out, in / groups, kernel] as [kernel, in, out]."""
    outputs, inputs, kernel = grouped.shape
    dense = np.zeros((kernel, GROUPS, inputs, GROUPS, outputs // GROUPS), dtype=np.float32)
    for group, part in enumerate(np.split(grouped, GROUPS)):
        dense[:, group, :, group, :] = part.transpose(2, 1, 0)
    return dense.reshape(kernel, GROUPS * inputs, outputs)
