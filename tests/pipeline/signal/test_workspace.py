"""Streams use the same working arrays, one after the other."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from pipeline.signal.workspace import workspaces
from replay.devices.synthetic import PatientConfig, SyntheticPatient

_CHUNK = 90


def test_streams_of_one_thread_use_the_same_working_arrays() -> None:
    """Streams with chunks of one length need no more working memory than one of them."""
    assert workspaces(2).of(_CHUNK) is workspaces(2).of(_CHUNK)
    assert workspaces(2).of(_CHUNK).filtered.shape[0] == 2


def test_threads_do_not_share_working_arrays() -> None:
    """Streams may be pushed in several threads at once, each stream in one."""
    with ThreadPoolExecutor(1) as other:
        elsewhere = other.submit(workspaces(1).of, _CHUNK).result()
    assert elsewhere is not workspaces(1).of(_CHUNK)


def test_streams_in_turns_are_what_they_are_alone() -> None:
    """What one stream leaves in the working arrays changes nothing of another."""
    signals = [
        SyntheticPatient(PatientConfig(fs=360.0, seed=seed)).generate(7200).samples
        for seed in (1, 2)
    ]
    alone = [_beats([signal]) for signal in signals]
    assert _beats(signals) == [beats for (beats,) in alone]


def _beats(signals: list[np.ndarray]) -> list[list[float]]:
    """Return the sums of the windows of signals whose chunks come in turns."""
    segmenters = [Segmenter(360.0) for _ in signals]
    found: list[list[float]] = [[] for _ in signals]
    for at in range(0, signals[0].size, _CHUNK):
        for segmenter, signal, beats in zip(segmenters, signals, found, strict=True):
            part = segmenter.push(SampleBlock(at, signal[at : at + _CHUNK]))
            beats += part.windows.sum(axis=1).tolist()
    return found
