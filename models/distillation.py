"""What the student learns from its teacher, and the score in torch.

The student has BeatGAN's layout a quarter as wide. Its narrow bottleneck (8 numbers a beat, not
BeatGAN's 50) is what keeps it from reconstructing anomalies. `models.student` runs the trained
one, without torch; this module is for training.
"""

import torch
from torch import Tensor
from torch.nn import functional

from models.beatgan import Autoencoder
from models.student import SCORED_TICKS, SMOOTHING_TICKS, STUDENT_LATENT, STUDENT_WIDTH


def new_student() -> Autoencoder:
    """Return an untrained student, 108,560 parameters."""
    return Autoencoder(STUDENT_WIDTH, STUDENT_LATENT)


def smoothed_score(residual_bt: Tensor) -> Tensor:
    """Return the score [B] of residuals [B, 320], as `models.student.smoothed_score` has it."""
    smooth = functional.avg_pool1d(
        residual_bt[:, None], SMOOTHING_TICKS, stride=1, padding=SMOOTHING_TICKS // 2
    )
    return smooth[:, 0, slice(*SCORED_TICKS)].square().mean(dim=1)


def distillation_loss(student_score_b: Tensor, teacher_score_b: Tensor, exponent: float) -> Tensor:
    """How differently student and teacher share out their scores over one batch.

    Each turns its scores into a distribution over the beats of the batch, in proportion to
    score ** exponent (a softmax of log scores at temperature 1 / exponent); the loss is the
    Kullback-Leibler divergence of the student's from the teacher's, in nats. It is zero where
    the student ranks and spaces the beats as the teacher does, whatever the scale of its scores.
    All in torch: the gradient reaches the student through its scores.

    Args:
        student_score_b: [B], positive, with its graph.
        teacher_score_b: [B], positive.
        exponent: below 1, far outliers weigh less.
    """
    tiny = torch.finfo(torch.float32).tiny
    student_log = exponent * student_score_b.float().clamp_min(tiny).log()
    teacher_log = exponent * teacher_score_b.float().clamp_min(tiny).log()
    return functional.kl_div(
        student_log.log_softmax(0), teacher_log.log_softmax(0), reduction="sum", log_target=True
    )
