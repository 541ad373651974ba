"""The losses of distillation, on batch scores and on attention maps; and the score in torch.

The student has BeatGAN's layout a quarter as wide. Its narrow bottleneck (8 numbers a beat, not
BeatGAN's 50) keeps it from reconstructing anomalies. `models.inference.student` runs the trained
student without torch; this module is for training.

Two losses, both zero where the student agrees with the teacher:

* `kd_loss` (Hinton, Vinyals & Dean 2015): how the scores are distributed over a batch.
* `attention_loss` (Zagoruyko & Komodakis, ICLR 2017): where each stage of the encoder is active.

A trained teacher runs once over all beats (`teacher_table`), so that distillation adds almost
nothing to a step. Shapes are in the names: B beats, C channels, T samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.inference.student import SCORED_TICKS, SMOOTHING_TICKS, STUDENT_LATENT, STUDENT_WIDTH
from models.nets.beatgan import STAGES, Autoencoder, Encoder
from pipeline.constants import WINDOW_SAMPLES

ATTENTION_SAMPLES: Final = sum(WINDOW_SAMPLES >> stage for stage in range(1, STAGES + 1))
"""160 + 80 + 40 + 20 + 10: an attention map has one value for each sample of its stage."""

_TABLE_BATCH: Final = 256


def new_student(width: int = STUDENT_WIDTH, latent: int = STUDENT_LATENT) -> Autoencoder:
    """Return an untrained student; that of the default size has 108,560 parameters."""
    return Autoencoder(width, latent)


def smoothed_score(residual_bt: Tensor) -> Tensor:
    """Return the score [B] of residuals [B, 320], as `models.inference.student` has it."""
    smooth = functional.avg_pool1d(
        residual_bt[:, None], SMOOTHING_TICKS, stride=1, padding=SMOOTHING_TICKS // 2
    )
    return smooth[:, 0, slice(*SCORED_TICKS)].square().mean(dim=1)


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
    """Scores and attention of a trained teacher for each training beat, row by row."""

    scores: Tensor
    """float32[n]."""
    attention: Tensor
    """float16[n, 310]: as exact as the loss needs, and 43 MB for the published training part."""


@torch.no_grad()
def teacher_table(teacher: Autoencoder, windows_nt: Tensor) -> TeacherTable:
    """Run ``teacher``, in evaluation mode from now on, over windows float32[n, 320].

    The teacher must be on the device where the table is to be used.
    """
    teacher.eval()
    device = next(teacher.parameters()).device
    scores, attentions = [], []
    for part_bt in windows_nt.split(_TABLE_BATCH):
        x_b1t = part_bt[:, None].to(device)
        maps = stage_maps(teacher.encoder, x_b1t)
        reconstruction = teacher.decoder(teacher.encoder.head(maps[-1]))
        scores.append(smoothed_score((x_b1t - reconstruction)[:, 0]))
        attentions.append(attention(maps).half())
    return TeacherTable(torch.cat(scores), torch.cat(attentions))
