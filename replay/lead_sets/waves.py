"""The waves of a heartbeat of the synthetic patient, each a dipole with a direction of its own.

Heights are those in lead II; `replay.lead_sets.dipole` has what others see. Units: mV, radians.
"""

import math
from typing import Final, NamedTuple

from replay.lead_sets.dipole import Vector


class Wave(NamedTuple):
    """One Gaussian event on the cycle."""

    phase: float
    """Radians from the R peak."""
    height_mv: float
    width: float
    """Standard deviation, radians."""
    direction: Vector
    """Of its dipole."""


_PI: Final = math.pi
_QRS_AND_T: Final = (
    # The septum is excited from the left, then the wall of the left ventricle, its base last. The T
    # wave points to the left and forward.
    Wave(-_PI / 12, -0.10, 0.10, (-0.6, -0.3, -0.6)),
    Wave(0.0, 1.20, 0.10, (1.0, 0.8, 0.5)),
    Wave(_PI / 12, -0.25, 0.10, (-0.3, -0.6, 0.6)),
    Wave(_PI / 2, 0.30, 0.40, (0.8, 0.6, -0.4)),
)
MORPHOLOGY: Final = {
    # Phases and widths of N: Table I of McSharry et al.
    "N": (Wave(-_PI / 3, 0.12, 0.25, (0.8, 0.7, -0.25)), *_QRS_AND_T),
    # Supraventricular: from an ectopic focus in the atrium, so another P wave; the same QRS.
    "A": (Wave(-_PI / 3, -0.08, 0.20, (0.3, -0.9, 0.0)), *_QRS_AND_T),
    # Ventricular: no P wave, a QRS of about 180 ms (two standard deviations each way, at 72 bpm;
    # ectopic ones last 120 to 200 ms), a T wave of opposite polarity. It comes from the outflow
    # tract of the right ventricle: an axis to the right and the foot.
    "V": (
        Wave(0.0, 1.45, 0.20, (-0.1, 1.3, 0.8)),
        Wave(0.55, -0.65, 0.20, (0.2, -1.0, 0.3)),
        Wave(2.0, -0.45, 0.45, (0.2, -1.1, -0.8)),
    ),
}
"""The waves of a beat, by its symbol in WFDB."""
