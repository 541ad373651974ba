"""What a student learns from a teacher: each loss against a slow reference, and its gradient."""

import math

import numpy as np
import pytest
import torch

from models.nets.beatgan import Autoencoder, initialise
from models.training.distillation.losses import (
    attention,
    attention_loss,
    kd_loss,
    new_student,
    smoothed_score,
    stage_maps,
    teacher_table,
)


def _network(width: int = 4, latent: int = 3, seed: int = 0) -> Autoencoder:
    network = new_student(width, latent)
    initialise(network, torch.Generator().manual_seed(seed))
    return network


def _beats(n: int = 6) -> torch.Tensor:
    return torch.rand(n, 320, generator=torch.Generator().manual_seed(1)) * 2 - 1


def _kd_slowly(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """The formula, term by term, in float64."""
    shares = []
    for scores in (student, teacher):
        powers = [math.exp(math.log(score) / temperature) for score in scores.astype(float)]
        shares.append([power / sum(powers) for power in powers])
    return temperature**2 * sum(t * math.log(t / s) for s, t in zip(*shares, strict=True))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
def test_score_distillation_is_the_divergence_of_the_formula(temperature: float) -> None:
    """T^2 KL(softmax(t/T) || softmax(s/T)) of log scores, against plain numpy."""
    random = np.random.default_rng(3)
    student, teacher = random.lognormal(-5, 1, (2, 50)).astype(np.float32)

    loss = kd_loss(torch.from_numpy(student), torch.from_numpy(teacher), temperature)

    assert loss.item() == pytest.approx(_kd_slowly(student, teacher, temperature), rel=1e-4)


def test_score_distillation_ignores_the_scale_of_scores() -> None:
    """Proportional scores lose nothing; another order costs; a score of zero stays finite."""
    scores = torch.tensor([0.1, 0.2, 0.4])

    assert kd_loss(3 * scores, scores, 2.0).item() == pytest.approx(0, abs=1e-6)
    assert kd_loss(scores.flip(0), scores, 2.0).item() > 0.1
    assert math.isfinite(kd_loss(torch.zeros(3), scores, 2.0).item())


def test_stage_maps_are_those_of_the_encoder() -> None:
    """Five maps, each half as long and twice as wide as the one before; the last feeds the head."""
    network = _network().eval()
    x_b1t = _beats()[:, None]

    maps = stage_maps(network.encoder, x_b1t)

    assert [tuple(m.shape) for m in maps] == [
        (6, 4, 160), (6, 8, 80), (6, 16, 40), (6, 32, 20), (6, 64, 10),
    ]  # fmt: skip
    latent, features = network.encoder(x_b1t)
    assert torch.equal(maps[-1], features)
    assert torch.equal(network.encoder.head(maps[-1]), latent)


def test_attention_is_the_normalised_energy_of_the_channels() -> None:
    """Phi against numpy: mean of squares over the channels, then Euclidean length 1."""
    maps = [torch.randn(3, channels, ticks) for channels, ticks in ((2, 8), (5, 4))]
    expected = []
    for one in maps:
        energy = (one.numpy().astype(float) ** 2).mean(axis=1)
        expected.append(energy / np.sqrt((energy**2).sum(axis=1, keepdims=True)))

    got = attention(maps)

    np.testing.assert_allclose(got, np.concatenate(expected, axis=1), rtol=1e-5)


def test_attention_loss_is_the_sum_over_stages_and_mean_over_beats() -> None:
    """Against the sum written out; nothing for maps that differ by a factor or by more channels."""
    student = [torch.randn(3, 2, 8), torch.randn(3, 4, 4)]
    teacher = [torch.randn(3, 7, 8), torch.randn(3, 9, 4)]
    expected = sum(
        ((attention([s]) - attention([t])) ** 2).sum().item() / 3
        for s, t in zip(student, teacher, strict=True)
    )

    loss = attention_loss(attention(student), attention(teacher))

    assert loss.item() == pytest.approx(expected, rel=1e-5)
    louder = [torch.cat((3 * one, 3 * one), dim=1) for one in student]
    assert attention_loss(attention(student), attention(louder)).item() < 1e-10


def test_each_loss_moves_the_student_and_leaves_the_teacher_alone() -> None:
    """Scores reach every weight, maps every weight before the bottleneck; no teacher's any."""
    student, teacher = _network().train(), _network(8, 5, seed=7).train()
    x_b1t = _beats(16)[:, None]
    maps, teacher_maps = (stage_maps(one.encoder, x_b1t) for one in (student, teacher))
    score, teacher_score = (
        smoothed_score((x_b1t - one.decoder(one.encoder.head(m[-1])))[:, 0])
        for one, m in ((student, maps), (teacher, teacher_maps))
    )
    weights = dict(student.named_parameters())

    by_scores = _gradients(kd_loss(score, teacher_score, 2.0), weights)
    by_maps = _gradients(attention_loss(attention(maps), attention(teacher_maps)), weights)

    assert by_scores == set(weights)
    assert by_maps == {name for name in weights if name.startswith("encoder.features")}
    assert all(weight.grad is None for weight in teacher.parameters())


def _gradients(loss: torch.Tensor, weights: dict[str, torch.nn.Parameter]) -> set[str]:
    """Names of the weights that the loss would move."""
    for weight in weights.values():
        weight.grad = None
    loss.backward(retain_graph=True)
    return {n for n, w in weights.items() if w.grad is not None and w.grad.abs().max() > 0}


@pytest.mark.parametrize("what", ["scores", "maps"])
def test_following_a_loss_brings_the_student_closer_to_the_teacher(what: str) -> None:
    """A few steps on one of the two alone lower it."""
    student, teacher = _network().train(), _network(8, 5, seed=7)
    windows = _beats(16)
    table = teacher_table([teacher], windows)
    optimiser = torch.optim.Adam(student.parameters(), 3e-3)
    losses = []
    for _ in range(20):
        maps = stage_maps(student.encoder, windows[:, None])
        residual = windows - student.decoder(student.encoder.head(maps[-1]))[:, 0]
        loss = (
            kd_loss(smoothed_score(residual), table.scores, 2.0)
            if what == "scores"
            else attention_loss(attention(maps), table.attention)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_teacher_is_asked_in_evaluation_mode_for_every_beat() -> None:
    """Each row depends on that beat alone; the teacher's running statistics stay unchanged."""
    teacher, windows = _network().train(), _beats(300)
    before = {name: tensor.clone() for name, tensor in teacher.named_buffers()}

    table = teacher_table([teacher], windows)

    assert table.scores.dtype == torch.float32
    assert table.attention.dtype == torch.float16
    assert table.attention.shape == (300, 160 + 80 + 40 + 20 + 10)
    for name, tensor in teacher.named_buffers():
        assert torch.equal(tensor, before[name]), name
    for row in (0, 299):
        x_b1t = windows[row : row + 1, None]
        score = smoothed_score((x_b1t - teacher(x_b1t))[:, 0])
        phi = attention(stage_maps(teacher.encoder, x_b1t))
        assert table.scores[row].item() == pytest.approx(score.item(), rel=1e-4)
        np.testing.assert_allclose(table.attention[row].float(), phi[0].detach(), atol=1e-3)


def test_teachers_of_an_ensemble_are_averaged() -> None:
    """Reconstructions before they are scored, and attention; one alone is its own mean."""
    one, other, windows = _network(seed=1).eval(), _network(8, 5, seed=2).eval(), _beats()
    x_b1t = windows[:, None]
    with torch.no_grad():
        mean = (one(x_b1t) + other(x_b1t))[:, 0] / 2
        maps = [attention(stage_maps(network.encoder, x_b1t)) for network in (one, other)]

    table = teacher_table([one, other], windows)

    np.testing.assert_allclose(table.reconstructions.float(), mean, atol=1e-3)
    np.testing.assert_allclose(table.scores, smoothed_score(windows - mean), rtol=1e-4)
    np.testing.assert_allclose(table.attention.float(), (maps[0] + maps[1]) / 2, atol=1e-3)
