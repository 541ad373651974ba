"""The heart of a record seen from another place: its second lead.

A lead is the projection of the heart's electrical dipole on a direction of the body. In another
lead a beat keeps its class and its place; what differs is the shape of the QRS complex and of the P
wave, and the noise. So the beats of one patient are learned as those of a wearer whose electrodes
sit elsewhere as well. Sum and difference of the leads were tried and did not help further:
``docs/models/trials.md``.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replay.headers import load_header
from replay.leads import choose_lead, ecg_leads
from replay.records import read_lead


def second_lead(path: Path) -> NDArray[np.float32] | None:
    """Return the first ECG lead beside the usual one, float32[n] in mV; None where there is none.

    It has the rate and the length of the usual lead.

    Raises:
        InputError: the record cannot be used.
    """
    header = load_header(path)
    first = choose_lead(header)
    length = header.signals[first].samples_per_frame
    for lead in ecg_leads(header):
        if lead != first and header.signals[lead].samples_per_frame == length:
            return read_lead(path, lead)[1]
    return None
