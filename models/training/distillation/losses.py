"""The losses of distillation, on batch scores and on attention maps; and the score in torch.

The student has BeatGAN's layout a quarter as wide. Its narrow bottleneck (6 numbers a beat, not
BeatGAN's 50) keeps it from reconstructing anomalies. `models.inference.student` runs the trained
student without torch; this module is for training.

Two losses, both zero where the student agrees with the teacher:

* `kd_loss` (Hinton, Vinyals & Dean 2015): how the scores are distributed over a batch.
* `attention_loss` (Zagoruyko & Komodakis, ICLR 2017): where each stage of the encoder is active.

Trained teachers run once over all beats (`teacher_table`), so that distillation adds almost
nothing to a step. Of several, reconstructions and attention are averaged. Shapes are in the names:
B beats, C channels, T samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.inference.student import SCORED_TICKS, SMOOTHING_TICKS, STUDENT_LATENT, STUDENT_WIDTH
from models.nets.beatgan import Autoencoder, Encoder

_TABLE_BATCH: Final = 256


def new_student(width: int = STUDENT_WIDTH, latent: int = STUDENT_LATENT) -> Autoencoder:
    """Return an untrained student; that of the default size has 103,440 parameters."""
    return Autoencoder(width, latent)


def smoothed(windows_bt: Tensor) -> Tensor:
    """Return windows [B, 320] after the moving average of the score, zeros beyond their ends."""
    return functional.avg_pool1d(
        windows_bt[:, None], SMOOTHING_TICKS, stride=1, padding=SMOOTHING_TICKS // 2
    )[:, 0]


def smoothed_score(residual_bt: Tensor) -> Tensor:
    """Return the score [B] of residuals [B, 320], as `models.inference.student` has it."""
    return smoothed(residual_bt)[:, slice(*SCORED_TICKS)].square().mean(dim=1)


def stage_maps(encoder: Encoder, x_b1t: Tensor) -> list[Tensor]:
    """Return the feature maps [B, width << i, 160 >> i] after each of the five stages.

    The last is what ``encoder.head`` takes.
    """
    maps = []
    for layer in encoder.features:
        x_b1t = layer(x_b1t)
        if isinstance(layer, nn.LeakyReLU):  # each stage ends with one
            maps.append(x_b1t)
    return maps


def attention(maps: Sequence[Tensor]) -> Tensor:
    """Return phi of each map [B, C, T], one after the other, float32[B, 310].

    phi is the mean over the channels of the squared map, scaled to Euclidean length 1: where in
    the beat the stage is active, whatever its number of channels and its scale.
    """
    return torch.cat(
        [functional.normalize(map_bct.float().square().mean(dim=1)) for map_bct in maps], dim=1
    )


def attention_loss(student_ba: Tensor, teacher_ba: Tensor) -> Tensor:
    """Return the sum over the stages of |phi(T_i) - phi(F_i)|^2, mean over the beats: 0 to 10.

    Args:
        student_ba: `attention` of the student's maps, with its graph.
        teacher_ba: of the teacher's; the gradient does not reach it.
    """
    return (student_ba - teacher_ba.detach().float()).square().sum(dim=1).mean()


def kd_loss(student_score_b: Tensor, teacher_score_b: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(softmax(t / T) || softmax(s / T)) over the beats of one batch, in nats.

    s and t are the logarithms of the scores. So a factor common to all scores, by which student and
    teacher differ, changes nothing: softmax(log score / T) weights the beats of the batch in
    proportion to score^(1/T). At a higher temperature far outliers weigh less. The gradient reaches
    the student through its scores and does not reach the teacher.

    Args:
        student_score_b: [B], positive, with its graph.
        teacher_score_b: [B], positive.
        temperature: T, positive.
    """
    tiny = torch.finfo(torch.float32).tiny
    student_log = student_score_b.float().clamp_min(tiny).log() / temperature
    teacher_log = teacher_score_b.detach().float().clamp_min(tiny).log() / temperature
    divergence = functional.kl_div(
        student_log.log_softmax(0), teacher_log.log_softmax(0), reduction="sum", log_target=True
    )
    return temperature**2 * divergence


@dataclass(frozen=True, slots=True)
class TeacherTable:
    """What trained teachers make of each training beat, row by row."""

    reconstructions: Tensor
    """float16[n, 320]: the mean of the teachers', 46 MB for the published training part."""
    scores: Tensor
    """float32[n], of that mean."""
    attention: Tensor
    """float16[n, 310], the mean of the teachers': as exact as the loss needs."""


@torch.no_grad()
def teacher_table(teachers: Sequence[Autoencoder], windows_nt: Tensor) -> TeacherTable:
    """Run one or more teachers, in evaluation mode from now on, over windows float32[n, 320].

    They must be on the device where the table is to be used.
    """
    for teacher in teachers:
        teacher.eval()
    device = next(teachers[0].parameters()).device
    reconstructions, scores, attentions = [], [], []
    for part_bt in windows_nt.split(_TABLE_BATCH):
        x_b1t = part_bt[:, None].to(device)
        maps = [stage_maps(teacher.encoder, x_b1t) for teacher in teachers]
        mean_bt = torch.stack(
            [
                teacher.decoder(teacher.encoder.head(of_teacher[-1]))[:, 0]
                for teacher, of_teacher in zip(teachers, maps, strict=True)
            ]
        ).mean(dim=0)
        reconstructions.append(mean_bt.half())
        scores.append(smoothed_score(x_b1t[:, 0] - mean_bt))
        attentions.append(torch.stack([attention(one) for one in maps]).mean(dim=0).half())
    return TeacherTable(torch.cat(reconstructions), torch.cat(scores), torch.cat(attentions))
