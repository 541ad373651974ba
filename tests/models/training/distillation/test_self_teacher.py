"""The self-teacher: shapes, what it learns by, and that the student cannot drag it along."""

import pytest
import torch

from models.nets.beatgan import initialise
from models.training.distillation.losses import attention, attention_loss, new_student, stage_maps
from models.training.distillation.self_teacher import SelfTeacher


@pytest.fixture
def networks() -> tuple[torch.nn.Module, SelfTeacher]:
    """A student and its self-teacher, both untrained."""
    student, teacher = new_student(4, 3), SelfTeacher(4, 3)
    rng = torch.Generator().manual_seed(0)
    for network in (student, teacher):
        initialise(network, rng)
        network.train()
    return student, teacher


def _beats(n: int = 8) -> torch.Tensor:
    return torch.rand(n, 1, 320, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_refined_maps_have_the_shapes_of_the_encoders(networks: tuple) -> None:
    """One for each stage, so that attention can be compared; and a beat comes out."""
    student, teacher = networks
    maps = stage_maps(student.encoder, _beats())

    refined, reconstruction = teacher(maps)

    assert [m.shape for m in refined] == [m.shape for m in maps]
    assert reconstruction.shape == (8, 1, 320)
    assert reconstruction.abs().max() <= 1


def test_reconstruction_teaches_every_layer_and_the_encoder(networks: tuple) -> None:
    """No node of the two paths is idle, and the student's encoder learns to feed them."""
    student, teacher = networks
    x_b1t = _beats()
    _, reconstruction = teacher(stage_maps(student.encoder, x_b1t))

    (x_b1t - reconstruction).square().mean().backward()

    for name, weight in teacher.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name
    for name, weight in student.encoder.features.named_parameters():
        assert weight.grad.abs().max() > 0, name
    assert student.encoder.head.weight.grad is None
    assert all(weight.grad is None for weight in student.decoder.parameters())


def test_following_the_maps_leaves_the_self_teacher_alone(networks: tuple) -> None:
    """The attention loss moves the student's encoder and nothing of the self-teacher."""
    student, teacher = networks
    maps = stage_maps(student.encoder, _beats())
    refined, _ = teacher(maps)

    attention_loss(attention(maps), attention(refined)).backward()

    assert all(weight.grad is None for weight in teacher.parameters())
    for name, weight in student.encoder.features.named_parameters():
        assert weight.grad.abs().max() > 0, name


def test_fusion_is_a_weighted_mean(networks: tuple) -> None:
    """Weights are positive and sum to 1, whatever has been learned; a negative one counts as 0."""
    _, teacher = networks
    fusion = teacher.up_fusions[0]
    with torch.no_grad():
        fusion.weights.copy_(torch.tensor([1.0, -2.0, 3.0]))
    one, other, third = (torch.full((1, 2, 4), value) for value in (4.0, 100.0, 8.0))

    assert fusion(one, other, third).detach() == pytest.approx(torch.full((1, 2, 4), 7.0), rel=1e-3)
