"""What the twelve leads see of the heart as one dipole.

A lead's voltage is the projection of the dipole onto the vector of the lead. Those of I, II and V1
to V6 are Dower's (Dower, Machado, Osborne: "On deriving the electrocardiogram from vectorcardio-
graphic leads", Clin. Cardiol. 3(2), 1980), in Frank's axes: x to the left, y to the foot, z to the
back. The other limb leads follow from I and II (Einthoven, Goldberger). Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.lead_sets.derived import LIMB_LEADS

Vector = tuple[float, float, float]
"""x to the left, y to the foot, z to the back."""

_I: Final = np.array([0.632, -0.235, 0.059])
_II: Final = np.array([0.235, 1.066, -0.132])

LEAD_VECTORS: Final[Mapping[str, NDArray[np.float64]]] = {
    **{
        name: of_i * _I + of_ii * _II
        for name in ("I", "II", "III", "aVR", "aVL", "aVF")
        for of_i, of_ii in [LIMB_LEADS[name.upper()]]
    },
    "V1": np.array([-0.515, 0.157, -0.917]),
    "V2": np.array([0.044, 0.164, -1.387]),
    "V3": np.array([0.882, 0.098, -1.277]),
    "V4": np.array([1.213, 0.127, -0.601]),
    "V5": np.array([1.125, 0.127, -0.086]),
    "V6": np.array([0.831, 0.076, 0.230]),
}


def shares(direction: Vector, leads: Sequence[str]) -> NDArray[np.float64]:
    """Return how high a dipole of ``direction`` stands in each lead, float64[leads], if 1 in II."""
    dipole = np.array(direction)
    in_ii = float(dipole @ LEAD_VECTORS["II"])
    return np.array([float(dipole @ LEAD_VECTORS[lead]) / in_ii for lead in leads])
