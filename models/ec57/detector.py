"""The beats of the streaming detector as those of an annotator that names no classes."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.annotations import Annotations


def detect_beats(samples: NDArray[np.float32], fs_hz: float) -> NDArray[np.int64]:
    """Return the R peaks, int64[b] in source samples, that a stream has in a whole record.

    Args:
        samples: of one lead float32[n], of several float32[leads, n], mV.
        fs_hz: samples a second.
    """
    segmenter = Segmenter(fs_hz, leads=1 if samples.ndim == 1 else len(samples))
    streamed = segmenter.push(SampleBlock(0, samples))
    return np.concatenate((streamed.samples, segmenter.finish().samples))


def as_annotator(beats: NDArray[np.int64], fs_hz: float) -> Annotations:
    """Return beats, int64[b], as an annotator that calls all of them N."""
    return Annotations(
        sample=beats,
        symbol=["N"] * beats.size,
        subtype=np.zeros(beats.size, dtype=np.int64),
        aux_note=[""] * beats.size,
        fs=fs_hz,
    )
