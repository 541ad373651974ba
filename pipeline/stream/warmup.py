"""Compile the kernels before the first sample, and know beforehand whether that takes long."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.alarms.atrial_fibrillation import AtrialBeats, AtrialMeasures, without_p_waves
from pipeline.alarms.organisation import Organisation
from pipeline.constants import CLASSES, SAMPLING_RATE_HZ, WINDOW_SAMPLES
from pipeline.scoring.beat_features import BeatFeatures
from pipeline.scoring.beat_measures import with_evidence
from pipeline.scoring.lead_measures import measure_beats
from pipeline.scoring.live_score import (
    COMPONENTS,
    LEARNING_BEATS,
    LiveScore,
    LiveScoreConfig,
    Scale,
)
from pipeline.scoring.qrs_shape import likeness_unshifted
from pipeline.signal.kernels.leads.complexes import found_at
from pipeline.signal.kernels.scoring import leads as of_leads
from pipeline.signal.kernels.scoring import live
from pipeline.signal.kernels.scoring.shape import SHAPE_NUMBERS
from pipeline.signal.ring import SignalRing, SignalRingState, json_of
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter

_FIRST_LEAD: Final = np.zeros(1, dtype=np.uint8)


def compiled_before() -> bool:
    """Return whether all compiled kernels lie in numba's cache, so that they load in a moment.

    The last one is looked for: whoever was interrupted before it has to go on compiling. No other
    kernel calls it: numba keeps those that a kernel calls before that kernel.
    """
    cache = live.score.stats.cache_path
    return cache is not None and any(Path(cache).glob("live.score-*.nbc"))


def compile_kernels() -> None:
    """Compile or load every kernel: run some seconds of a pulse through the parts of a stream."""
    compile_kernels_of_signals()
    compile_kernels_of_beats()


def compile_kernels_of_signals() -> None:
    """Compile or load the kernels that find beats, some two thirds of the work.

    The last second of the pulse is missing: some run only where something is wrong with the signal.
    """
    x = np.zeros(8 * SAMPLING_RATE_HZ, dtype=np.float32)
    x[::SAMPLING_RATE_HZ] = 1.0
    x[-SAMPLING_RATE_HZ:] = np.nan
    with _without_blas():
        for fs_hz, leads in ((float(SAMPLING_RATE_HZ), 1), (250.0, 2)):
            segmenter = Segmenter(fs_hz, leads=leads)
            segmenter.push(SampleBlock(0, x if leads == 1 else np.stack([x] * leads)))
            segmenter.finish()


def compile_kernels_of_beats() -> None:
    """Compile or load the kernels that measure and score beats."""
    window = np.zeros(WINDOW_SAMPLES, dtype=np.float32)
    rr_s, usable = np.full(1, 0.8), np.ones(1, dtype=np.bool_)
    with _without_blas():
        of_atria = AtrialMeasures(AtrialBeats.fresh())
        of_atria.take(0.8, window, usable=True)
        without_p_waves(of_atria.evidence()[0], 0.0)
        Organisation().take(window).median_likeness()
        likeness_unshifted(window, window)
        two, each = np.stack((window, window)), np.ones(2, dtype=np.bool_)
        of_leads.compare_leads(two, each, two, two, each[:1], np.zeros((2, SHAPE_NUMBERS)))
        of_leads.follow_leads(two, each, np.zeros(2, dtype=np.float32), two, two)
        measure_beats([BeatFeatures()], rr_s, window[None, None], usable[None], _FIRST_LEAD, rr_s)
        with_evidence(BeatFeatures().measure(rr_s, window[None], usable), rr_s)
        complexes = np.empty((0, 3), dtype=np.int64)
        found_at(complexes, 0, 0.0, 0, usable)
        ring = SignalRing(SignalRingState.fresh(1, WINDOW_SAMPLES))
        ring.place(0, 0, window[None])
        json_of(ring.kept(0, 1)[0])
        scales = dict.fromkeys(COMPONENTS, Scale(median=0.0, p95=1.0))
        score = LiveScore(LiveScoreConfig(scales=scales, threshold=1.0, learning_threshold=1.0))
        score.skip(0.8)
        for _ in range(LEARNING_BEATS + 1):
            score.score(window, 0.8, 1.0, np.full(len(CLASSES), 0.25, dtype=np.float32))
        # The last beat needs the last kernel: `compiled_before`.


@contextmanager
def _without_blas() -> Iterator[None]:
    """Keep numba from importing scipy.linalg, which it asks for BLAS when it loads a kernel.

    No kernel multiplies matrices, scipy is optional to numba, and the import would be a quarter of
    the time in which a hub that was killed is back.
    """
    name = "scipy.linalg"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        yield
    finally:
        del sys.modules[name]
