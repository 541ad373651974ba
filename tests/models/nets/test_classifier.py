"""The classifier: its shapes, its loss, and the same network compiled, bit for bit in any batch."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from models.files.classifier import (
    GROUPS,
    WIDTHS,
    ClassifierArtifact,
    tensor_shapes,
)
from models.inference.classifier import ClassifierScorer
from models.nets.classifier import ResNeXt, focal_loss, folded_classifier
from pipeline.constants import CLASSES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS
from tests.support.classifiers import NETWORK_TRAINING

N = 50
CONTEXTS = len(CONTEXT_COLUMNS)


@pytest.fixture(scope="module")
def network() -> ResNeXt:
    """A network whose norms have seen something: nothing is at its initial value."""
    torch.manual_seed(0)
    network = ResNeXt()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2.0)
                nn.init.normal_(module.bias)
    return network.eval()


@pytest.fixture(scope="module")
def scorer(network: ResNeXt) -> ClassifierScorer:
    """The same network without torch."""
    return ClassifierScorer(
        ClassifierArtifact(training=NETWORK_TRAINING, tensors=folded_classifier(network))
    )


@pytest.fixture(scope="module")
def beats() -> tuple[np.ndarray, np.ndarray]:
    """Random windows and contexts."""
    random = np.random.default_rng(1)
    return (
        random.uniform(-1, 1, (N, 320)).astype(np.float32),
        random.standard_normal((N, CONTEXTS)).astype(np.float32),
    )


def test_stages_halve_the_length_and_add_the_untouched_window(network: ResNeXt) -> None:
    """Each block has grouped convolutions in its middle and returns half as many samples."""
    x = torch.randn(2, 16, 80)

    for block, width in zip(network.stages, WIDTHS, strict=True):
        assert block.grouped[0].groups == GROUPS
        out = block(x)
        assert out.shape == (2, width, x.shape[2] // 2)
        # Four channels of the window join each map.
        x = torch.cat((out, torch.zeros(2, 4, out.shape[2])), dim=1)


def test_untouched_window_reaches_every_stage(network: ResNeXt) -> None:
    """With all blocks silenced the logits still depend on the window."""
    silenced = ResNeXt().eval()
    silenced.load_state_dict(network.state_dict())
    for block in silenced.stages:
        for part in (block.expand, block.shortcut):
            nn.init.zeros_(part[1].weight)
            nn.init.zeros_(part[1].bias)
    window = torch.randn(1, 1, 320, requires_grad=True)

    silenced(window, torch.zeros(1, CONTEXTS)).sum().backward()

    assert window.grad is not None
    assert (window.grad != 0).any()


def test_folded_weights_are_those_that_the_artifact_expects(network: ResNeXt) -> None:
    """The list of names and shapes follows the network that is trained."""
    shapes = {name: tensor.shape for name, tensor in folded_classifier(network).items()}

    assert shapes == tensor_shapes()


def test_compiled_network_agrees_with_torch(
    network: ResNeXt, scorer: ClassifierScorer, beats: tuple[np.ndarray, np.ndarray]
) -> None:
    """The classifier without torch gives the probabilities of the one with, to 1e-5."""
    windows, context = beats

    got = scorer.classify(windows, context)

    with torch.no_grad():
        logits = network(torch.from_numpy(windows)[:, None], torch.from_numpy(context))
    np.testing.assert_allclose(got, torch.softmax(logits, dim=1).numpy(), atol=1e-5)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, atol=1e-6)
    assert got.std(axis=0).max() > 0.01


def test_batch_never_changes_a_row(
    scorer: ClassifierScorer, beats: tuple[np.ndarray, np.ndarray]
) -> None:
    """A beat has the same probabilities, bit for bit, alone, in any batch, and in any place."""
    windows, context = beats
    alone = np.concatenate(
        [scorer.classify(windows[i : i + 1], context[i : i + 1]) for i in range(N)]
    )

    for first, size in ((0, N), (3, 17), (16, 16), (1, 31), (7, 2)):
        rows = slice(first, first + size)
        np.testing.assert_array_equal(scorer.classify(windows[rows], context[rows]), alone[rows])
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_array_equal(scorer.classify(windows[order], context[order]), alone[order])


def test_no_beats_give_no_rows(scorer: ClassifierScorer) -> None:
    """An empty batch is answered by an empty one."""
    got = scorer.classify(np.empty((0, 320), np.float32), np.empty((0, CONTEXTS), np.float32))

    assert got.shape == (0, len(CLASSES))
    assert got.dtype == np.float32


@pytest.mark.parametrize("what", ["window shape", "context shape", "rows", "nan", "range", "inf"])
def test_what_is_no_beat_is_refused(scorer: ClassifierScorer, what: str) -> None:
    """Other shapes and values that no segmenter produces raise `ValueError`."""
    windows, context = np.zeros((2, 320), np.float32), np.zeros((2, CONTEXTS), np.float32)
    match what:
        case "window shape":
            windows = windows[:, 1:]
        case "context shape":
            context = context[:, 1:]
        case "rows":
            context = context[1:]
        case "nan":
            windows[1, 7] = math.nan
        case "range":
            windows[1, 7] = 1.5
        case "inf":
            context[0, 0] = math.inf

    with pytest.raises(ValueError, match="not"):
        scorer.classify(windows, context)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_is_that_of_a_slow_reference(gamma: float) -> None:
    """Each beat adds -w (1 - p)^gamma log p of its true class, and the mean is taken."""
    random = np.random.default_rng(4)
    logits = random.normal(0, 2, (20, 4))
    classes = random.integers(0, 4, 20)
    weights = [1.0, 2.0, 0.5, 3.0]
    total = 0.0
    for row, true in zip(logits, classes, strict=True):
        p = math.exp(row[true]) / sum(math.exp(value) for value in row)
        total -= weights[true] * (1 - p) ** gamma * math.log(p)

    got = focal_loss(
        torch.from_numpy(logits), torch.from_numpy(classes), torch.tensor(weights).double(), gamma
    )

    assert got.item() == pytest.approx(total / 20, rel=1e-9)


def test_what_is_dropped_follows_from_the_generator_alone(
    network: ResNeXt, beats: tuple[np.ndarray, np.ndarray]
) -> None:
    """The same generator drops and blurs the same; another, or none, does not."""
    windows, context = (torch.from_numpy(part) for part in beats)

    def logits(seed: int | None) -> torch.Tensor:
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return network(windows[:, None], context, rng)

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))
    assert torch.equal(logits(None), logits(None))
    assert not torch.equal(logits(1), logits(None))
