"""The kernel that makes the state of one patient out of those of the leads."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.condition import number_runs
from pipeline.signal.kernels.sections import copy, jit


@jit
def follow_patient(
    states: NDArray[np.uint8],
    n: int,
    wrong: int,
    before: int,
    run: int,
    best_first: NDArray[np.uint8],
    place: NDArray[np.uint8],
    tail_runs: NDArray[np.uint8],
    runs: NDArray[np.uint8],
    patient: NDArray[np.uint8],
) -> tuple[bool, int]:
    """Write the patient's state from each of n new samples on, and number the runs.

    A run is a stretch of signal that could show a QRS, or that could not; between two beats in
    one run lies an RR interval.

    Args:
        states: uint8[leads, c], those of each lead, c >= n.
        n: how many samples.
        wrong: of lead k the bit k, whether anything is wrong with it.
        before: the patient's state before these samples.
        run: the number of the run before them.
        best_first: uint8[r], every state, the best one first,
        place: uint8[r], and where in that order each lies.
        tail_runs: uint8[t], the runs of the latest samples, modulo 256; updated.
        runs: uint8[t + c], written: those of the latest samples, and of the new ones.
        patient: uint8[c], written, unless all is well.

    Returns:
        Whether anything is or was wrong with the patient, and the number of the latest run.
    """
    leads, tail = states.shape[0], tail_runs.size
    copy(tail_runs, runs[:tail])
    new = runs[tail : tail + n]
    all_wrong = wrong == (1 << leads) - 1
    if before == 0 and not all_wrong:  # nearly always
        new[:] = np.uint8(run & 255)
    else:
        _write_best(states, n, all_wrong, best_first, place, patient)
        run = number_runs(patient[:n], before, run, new)
    copy(runs[n : n + tail], tail_runs)
    return before != 0 or all_wrong, run


@jit
def _write_best(
    states: NDArray[np.uint8],
    n: int,
    all_wrong: bool,
    best_first: NDArray[np.uint8],
    place: NDArray[np.uint8],
    patient: NDArray[np.uint8],
) -> None:
    """Write the best of the states of leads; unless ``all_wrong``, one lead is well throughout."""
    for i in range(n):
        best = place[states[0, i]] if all_wrong else np.uint8(0)
        for k in range(1, states.shape[0]):
            best = min(best, place[states[k, i]])
        patient[i] = best_first[best]
