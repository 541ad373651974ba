"""Measure what one stream takes: processor time in the pure core, memory, bytes of its state."""

import gc
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from models.measure.result_json import INLINE
from monitor.measure.bench_kernels import CHUNK
from pipeline.scoring.beat import Beat
from pipeline.scoring.protocols import Scorer
from pipeline.signal.samples import SampleBlock, in_blocks
from pipeline.stream.embedded import BATCH, score_beats
from pipeline.stream.session import StreamSession
from pipeline.stream.snapshot import pack
from pipeline.stream.stream import Stream
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.lead_sets.dipole import LEAD_VECTORS

_FS_HZ: Final = 250.0
_KEPT_S: Final = 300
_TIMED_S: Final = 60
_ROUNDS: Final = 3
_LEADS: Final = (1, 2, 12)
_BEGAN: Final = 1.7e9
_STAMPED_S: Final = 0.2
"""As often as a stamp is of use: the memory is that of shorter chunks."""

_MEASURED: Final = 2
"""Streams whose memory is measured."""

_WARM: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFigures:
    """What one stream at 250 Hz takes, by number of leads."""

    us_per_second: dict[str, float] = field(metadata=INLINE)
    """Processor time for a second of signal, without the scorer, by ``us_per_second_NAME``: chunks
    of a second, and live ones of 20 ms with stamps."""
    kb: dict[str, float] = field(metadata=INLINE)
    """Of a live stream after five minutes, by ``kb_NAME``: objects in memory, and its snapshot."""


def measure_stream() -> StreamFigures:
    """Measure streams of one, two and twelve leads of a synthetic patient with ectopic beats."""
    scorer = load_scorer(device="cpu")
    took: dict[str, float] = {}
    kilobytes: dict[str, float] = {}
    for leads in _LEADS:
        names = ("II", *(name for name in LEAD_VECTORS if name != "II"))[:leads]
        patient = PatientConfig(fs=_FS_HZ, ectopic=0.1, seed=3, leads=names)
        x = SyntheticPatient(patient).generate(round(_KEPT_S * _FS_HZ)).samples
        timed = np.ascontiguousarray(x[..., : round(_TIMED_S * _FS_HZ)])
        whole, live = list(in_blocks(timed, round(_FS_HZ))), list(_live(timed, CHUNK))
        for name, blocks in (("second", whole), ("live", live)):
            best = min(_run(_session(names), blocks, scorer) for _ in range(_ROUNDS))
            took[f"us_per_second_{name}_{leads}"] = round(1e6 * best / _TIMED_S, 1)
        kilobytes |= _kilobytes(names, list(_live(x, round(_STAMPED_S * _FS_HZ))), scorer)
    return StreamFigures(us_per_second=took, kb=kilobytes)


def _live(x: NDArray[np.float32], chunk: int) -> Iterator[SampleBlock]:
    """Yield chunks as a device sends them, with stamps."""
    for block in in_blocks(x, chunk):
        at_s = block.end / _FS_HZ
        yield SampleBlock(block.first_sample, block.samples, stamp_s=_BEGAN + at_s, arrived_at=at_s)


def _session(names: tuple[str, ...]) -> StreamSession:
    stream = Stream("bench", _FS_HZ, load_calibration(), lambda: 0.0, leads=names)
    return StreamSession(stream, names[0], 0.0, leads=names if len(names) > 1 else ())


def _run(session: StreamSession, blocks: list[SampleBlock], scorer: Scorer) -> float:
    """Push blocks to a stream; return the processor seconds that it took, without the scorer."""
    stream, scoring_s, waiting = session.stream, 0.0, list[Beat]()
    began = time.thread_time()
    for n, block in enumerate(blocks):
        taken = stream.take(block)
        for strip in taken.strips:
            session.add_strip(strip)
        waiting += taken.windows
        if len(waiting) >= BATCH or n + 1 == len(blocks):
            before = time.thread_time()
            score_beats(stream, waiting, scorer)
            scoring_s += time.thread_time() - before
            waiting.clear()
        for _ in stream.drain():
            session.record_latency(500.0)
    return time.thread_time() - began - scoring_s


def _kilobytes(
    names: tuple[str, ...], blocks: list[SampleBlock], scorer: Scorer
) -> dict[str, float]:
    leads = len(names)
    _run(_session(names), blocks[:_WARM], scorer)  # makes the arrays that all streams share
    tracemalloc.start()
    try:
        before, sessions = tracemalloc.get_traced_memory()[0], []
        for _ in range(_MEASURED):
            session = _session(names)
            _run(session, blocks, scorer)
            sessions.append(session)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return {
        f"kb_memory_{leads}": round(taken / _MEASURED / 1e3, 1),
        f"kb_snapshot_{leads}": round(len(pack(sessions[0].state)) / 1e3, 1),
    }
