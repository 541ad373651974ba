"""The shipped student: exact whatever the batch, the same as the trained network."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.files.student import StudentArtifact, load_student, tensor_shapes
from models.inference.student import (
    SCORED_TICKS,
    SMOOTHING_TICKS,
    CompiledStudent,
    StudentScorer,
    smoothed_score,
)
from models.inference.torch_student import FIXED_BATCH, TorchStudent
from models.nets.beatgan import Autoencoder, initialise
from models.training.distillation.losses import new_student
from models.training.export import folded_tensors

BATCHES = (1, 2, 3, 7, 8, 16, 64, 256)


@pytest.fixture(scope="module")
def scorer() -> StudentScorer:
    """The student that ships, on the CPU."""
    return StudentScorer.load(device="cpu")


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """256 windows as the hub makes them: humps of many shapes, scaled to [-1, 1]."""
    random = np.random.default_rng(7)
    ticks = np.arange(320)
    centres = random.uniform(20, 300, (256, 4, 1))
    widths = random.uniform(3, 40, (256, 4, 1))
    heights = random.normal(size=(256, 4, 1))
    raw = (heights * np.exp(-(((ticks - centres) / widths) ** 2))).sum(axis=1)
    raw += 0.02 * random.normal(size=raw.shape)
    low, high = raw.min(axis=1, keepdims=True), raw.max(axis=1, keepdims=True)
    return (2 * (raw - low) / (high - low) - 1).astype(np.float32)


def _trained_looking_student() -> Autoencoder:
    """A student with weights and running statistics as large as training makes them."""
    rng = torch.Generator().manual_seed(3)
    student = new_student()
    initialise(student, rng)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=rng)
        for name, memory in student.named_buffers():
            if name.endswith("running_mean"):
                memory += 0.3 * torch.randn(memory.shape, generator=rng)
            elif name.endswith("running_var"):
                memory *= 0.5 + torch.rand(memory.shape, generator=rng)
    return student.eval()


def _artifact_of(student: Autoencoder) -> StudentArtifact:
    return StudentArtifact(
        width=student.width,
        latent=student.latent,
        smoothing_ticks=9,
        scored_ticks=(0, 320),
        training=load_student().training,
        metrics={},
        tensors=folded_tensors(student),
    )


@pytest.mark.parametrize("batch", BATCHES)
def test_batch_size_never_changes_a_bit(
    scorer: StudentScorer, windows: np.ndarray, batch: int
) -> None:
    """A window's score and residual are bitwise equal at every batch size."""
    alone = [scorer.score(windows[i : i + 1]) for i in range(len(windows))]
    for first in range(0, len(windows), batch):
        together = scorer.score(windows[first : first + batch])
        for row in range(len(together.scores)):
            assert together.scores[row] == alone[first + row].scores[0]
            np.testing.assert_array_equal(together.residuals[row], alone[first + row].residuals[0])


@settings(max_examples=25)
@given(rows=st.lists(st.integers(0, 255), min_size=1, max_size=80))
def test_company_never_changes_a_bit(
    scorer: StudentScorer, windows: np.ndarray, rows: list[int]
) -> None:
    """Whatever windows share a batch, in whatever order, each keeps its score."""
    expected = scorer.score(windows).scores[rows]

    got = scorer.score(windows[rows]).scores

    np.testing.assert_array_equal(got, expected)


def test_another_process_computes_the_same_bits(
    scorer: StudentScorer, windows: np.ndarray, tmp_path: Path
) -> None:
    """Whatever compiled the kernels; and none of it needs torch, which takes seconds to import."""
    np.save(tmp_path / "windows.npy", windows)
    code = (
        "import hashlib, numpy, sys\n"
        "from models.inference.student import StudentScorer\n"
        "windows = numpy.load(sys.argv[1])\n"
        "answer = StudentScorer.load(device='cpu').score(windows)\n"
        "print(hashlib.sha256(answer.scores.tobytes() + answer.residuals.tobytes()).hexdigest())\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "windows.npy")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()

    here = scorer.score(windows)
    digest = hashlib.sha256(here.scores.tobytes() + here.residuals.tobytes()).hexdigest()
    assert answer == digest


def test_compiled_student_is_the_trained_network(windows: np.ndarray) -> None:
    """Folding BatchNorm and rearranging the layers changes rounding and nothing else."""
    student = _trained_looking_student()
    with torch.no_grad():
        expected = student(torch.from_numpy(windows)[:, None])[:, 0].numpy()

    got = CompiledStudent(_artifact_of(student))(windows)

    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.ptp(expected) > 0.1  # the comparison is of something


@pytest.mark.parametrize("width", [1, 2, 4, 8, 12])
def test_student_of_any_width_is_compiled(windows: np.ndarray, width: int) -> None:
    """Where some ticks fill a vector, one does, or one is filled up with zeros."""
    random = np.random.default_rng(width)
    tensors = {
        name: random.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)
        for name, shape in tensor_shapes(width, 5).items()
    }
    artifact = replace(load_student(), width=width, latent=5, tensors=tensors)

    got = CompiledStudent(artifact)(windows[:12])

    np.testing.assert_allclose(got, TorchStudent(artifact, "cpu")(windows[:12]), atol=1e-5)
    assert np.ptp(got) > 0.1


def test_threads_do_not_share_their_work(scorer: StudentScorer, windows: np.ndarray) -> None:
    """Threads that score at the same time get what each would get alone."""
    expected = scorer.score(windows).residuals
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: scorer.score(windows).residuals, range(40)))

    for residuals in together:
        np.testing.assert_array_equal(residuals, expected)


def test_torch_student_agrees_with_the_compiled_one(windows: np.ndarray) -> None:
    """The CUDA path, here on torch's CPU, gives the same reconstruction, for any batch size."""
    artifact = load_student()
    on_torch, on_cpu = TorchStudent(artifact, "cpu"), CompiledStudent(artifact)
    more = np.concatenate((windows, windows[:10]))
    assert len(more) > FIXED_BATCH

    np.testing.assert_allclose(on_torch(more), on_cpu(more), atol=1e-5)
    np.testing.assert_array_equal(on_torch(more[:3]), on_torch(more)[:3])


def test_torch_student_takes_windows_that_cannot_be_written(windows: np.ndarray) -> None:
    """As they come in a frame: without a warning in every scorer's terminal."""
    frame = np.frombuffer(windows.tobytes(), dtype=np.float32).reshape(windows.shape)
    student = TorchStudent(load_student(), "cpu")

    np.testing.assert_array_equal(student(frame), student(windows))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_agrees_with_the_cpu(scorer: StudentScorer, windows: np.ndarray) -> None:
    """On CUDA too a window's score is its own, and close to the CPU's: so are the decisions."""
    on_cuda = StudentScorer.load(device="cuda")
    whole = on_cuda.score(windows).scores

    expected = scorer.score(windows).scores
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    threshold = np.quantile(expected, 0.9)
    sure = np.abs(expected - threshold) > 1e-5
    np.testing.assert_array_equal(whole[sure] > threshold, expected[sure] > threshold)
    for batch in BATCHES:
        got = [on_cuda.score(windows[i : i + batch]).scores for i in range(0, 256, batch)]
        np.testing.assert_array_equal(np.concatenate(got), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_threads_share_a_captured_graph(windows: np.ndarray) -> None:
    """Batches of threads that score at the same time do not reach each other."""
    on_cuda = StudentScorer.load(device="cuda")
    parts = [windows[i : i + 8] for i in range(0, 256, 8)]
    expected = [on_cuda.score(part).residuals for part in parts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda part: on_cuda.score(part).residuals, parts))

    for got, wanted in zip(together, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_score_is_the_mean_square_of_the_smoothed_residual() -> None:
    """Smoothing is a plain moving average with zeros outside the window."""
    residuals = np.random.default_rng(1).normal(size=(5, 320)).astype(np.float32)
    expected = [
        np.mean([sum(row[max(t - 4, 0) : t + 5].astype(float)) ** 2 / 81 for t in range(3, 310)])
        for row in residuals
    ]
    got = smoothed_score(residuals, 9, slice(3, 310))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_residual_is_window_minus_reconstruction(
    scorer: StudentScorer, windows: np.ndarray
) -> None:
    """Residuals come back tick by tick, float32, and scores belong to them."""
    answer = scorer.score(windows[:20])

    reconstruction = CompiledStudent(load_student())(windows[:20])
    np.testing.assert_array_equal(answer.residuals, windows[:20] - reconstruction)
    np.testing.assert_array_equal(
        answer.scores, smoothed_score(answer.residuals, SMOOTHING_TICKS, slice(*SCORED_TICKS))
    )
    assert answer.scores.dtype == answer.residuals.dtype == np.float32


def test_no_window_gives_no_score(scorer: StudentScorer) -> None:
    """An empty batch is answered with empty arrays."""
    answer = scorer.score(np.empty((0, 320), dtype=np.float32))

    assert answer.scores.shape == (0,)
    assert answer.residuals.shape == (0, 320)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5])
def test_window_that_is_not_scaled_is_refused(
    scorer: StudentScorer, windows: np.ndarray, value: float
) -> None:
    """A value that is not finite or outside [-1, 1] is an error, not a score."""
    bad = windows[:4].copy()
    bad[2, 100] = value
    with pytest.raises(ValueError, match="outside"):
        scorer.score(bad)


@pytest.mark.parametrize("shape", [(320,), (1, 319), (1, 1, 320)])
def test_window_of_another_shape_is_refused(scorer: StudentScorer, shape: tuple[int, ...]) -> None:
    """Anything but [B, 320] is an error."""
    with pytest.raises(ValueError, match="320"):
        scorer.score(np.zeros(shape, dtype=np.float32))


def test_flat_window_has_a_finite_score(scorer: StudentScorer) -> None:
    """A flat line, which is cut as zeros, can be scored."""
    assert np.isfinite(scorer.score(np.zeros((1, 320), dtype=np.float32)).scores).all()
