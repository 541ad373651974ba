"""Ectopic beats of a recording: how many, alone, in pairs and in runs. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.api.beat_table import BeatTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Three or more beats of a class in a row."""

    begin_s: float
    beats: int
    bpm: float | None
    """Mean rate within the run; None where its intervals are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ectopy:
    """The beats of one class."""

    beats: int
    share: float
    """Of all beats that can be analysed: the burden."""
    single: int
    couplets: int
    runs: int
    longest: Run | None
    fastest: Run | None


def ectopy_of(beats: BeatTable, beat_class: str) -> Ectopy:
    """Return how the beats of a class come.

    A beat that cannot be analysed, or whose interval to the one before is not known, ends a
    sequence: nobody knows what was between.
    """
    of_class = beats["beat_class"] == beat_class
    begins, lengths = _sequences(of_class, np.isfinite(beats["rr_s"]))
    runs = [
        _run(beats, begin, length)
        for begin, length in zip(begins, lengths, strict=True)
        if length >= 3
    ]
    analysable = int(np.sum(beats["analysable"]))
    return Ectopy(
        beats=int(np.sum(of_class)),
        share=float(np.sum(of_class)) / analysable if analysable else 0.0,
        single=int(np.sum(lengths == 1)),
        couplets=int(np.sum(lengths == 2)),
        runs=len(runs),
        longest=max(runs, key=lambda run: run.beats, default=None),
        fastest=max(
            (run for run in runs if run.bpm is not None),
            key=lambda run: run.bpm or 0.0,
            default=None,
        ),
    )


def _sequences(
    of_class: NDArray[np.bool_], joined: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first beat and length of each stretch of beats of a class."""
    before = np.concatenate([[False], of_class[:-1]])
    begins = np.flatnonzero(of_class & ~(before & joined))
    ids = np.cumsum(of_class & ~(before & joined))
    lengths = np.bincount(ids[of_class] - 1, minlength=len(begins))
    return begins, lengths


def _run(beats: BeatTable, begin: int, length: int) -> Run:
    within = beats["rr_s"][begin + 1 : begin + length]
    return Run(
        begin_s=float(beats["time_s"][begin]),
        beats=int(length),
        bpm=round(60.0 / float(np.mean(within)), 1) if len(within) else None,
    )
