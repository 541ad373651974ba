"""Measure raw sample to window: beside a peer, and on the worst input."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.measure.result_json import INLINE, OMIT_NONE
from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.devices.synthetic import PatientConfig, SyntheticPatient

CHUNK: Final = 7
"""Samples a live chunk: 19 ms, as a source sends them."""

_ROUNDS: Final = 7
_LEADS: Final = (2, 12)
_LIVE_S: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFigures:
    """What a sample takes from raw signal to window."""

    ns_per_sample: dict[str, float] = field(metadata=INLINE)
    """At three rates, of the peer, and of hard signals, by ``ns_per_sample_NAME``."""
    over_sleepecg: float | None = field(default=None, metadata=OMIT_NONE)
    """Ratio of our time to that of sleepecg's detector (Brunner & Hofer 2023), if installed."""
    worst_over_ordinary: float
    """Ratio of the time on the hardest signal to that on the ordinary one."""
    us_per_live_chunk: float
    over_one_lead: dict[str, float] = field(metadata=INLINE)
    """What two and twelve leads take over what one does, by ``NAME_over_one_lead``: a record a
    call, and in live chunks."""


def measure_kernels(x: NDArray[np.float32]) -> KernelFigures:
    """Measure a whole record a call, and chunk by chunk as a live source sends.

    Args:
        x: float32[n], mV at 360 Hz.
    """
    runs: dict[str, Callable[[], object]] = {
        f"ns_per_sample_{fs_hz:g}_hz": partial(_push, x, fs_hz) for fs_hz in (360.0, 250.0, 1000.0)
    }
    peer = _peer(x)
    if peer is not None:
        runs["ns_per_sample_sleepecg"] = peer
    hard: dict[str, Callable[[], object]] = {
        f"ns_per_sample_{name}": partial(_push, signal, 360.0)
        for name, signal in _hard_signals(x.size).items()
    }
    several = {n: _leads(x[: x.size // n], n) for n in _LEADS}
    of_leads: dict[str, Callable[[], object]] = {
        f"{n}_leads": partial(_push, leads, 360.0) for n, leads in several.items()
    }
    best = in_turns(runs | hard | of_leads)
    ordinary = best["ns_per_sample_360_hz"]
    chunk_us = _live_chunk_us(x)
    over_one = {f"{n}_leads_over_one_lead": n * best[f"{n}_leads"] / ordinary for n in _LEADS}
    over_one |= {
        f"live_chunk_of_{n}_leads_over_one_lead": _live_chunk_us(leads) / chunk_us
        for n, leads in several.items()
    }
    return KernelFigures(
        ns_per_sample={
            name: round(1e9 * s / x.size, 1) for name, s in best.items() if name not in of_leads
        },
        over_sleepecg=None if peer is None else round(ordinary / best["ns_per_sample_sleepecg"], 2),
        worst_over_ordinary=round(max(best[name] for name in hard) / ordinary, 2),
        us_per_live_chunk=round(chunk_us, 1),
        over_one_lead={name: round(ratio, 2) for name, ratio in over_one.items()},
    )


def in_turns(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the shortest time of each in seconds, taken in turns under the same conditions."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            best[name] = min(best[name], seconds_of(run))
    return best


def shortest_s(run: Callable[[], object], times: int = 5) -> float:
    """Return the shortest of several runs, the one that was disturbed least; one more warms up."""
    run()
    return min(seconds_of(run) for _ in range(times))


def seconds_of(run: Callable[[], object]) -> float:
    """Return how long a run takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _push(x: NDArray[np.float32], fs_hz: float) -> None:
    block = SampleBlock(0, x)
    Segmenter(fs_hz, leads=block.leads).push(block)


def _leads(x: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return n leads of one heart, float32[n, samples], each a little smaller than the last."""
    return np.stack([x * np.float32(1.0 - 0.05 * k) for k in range(n)])


def _peer(x: NDArray[np.float32]) -> Callable[[], object] | None:
    """Return sleepecg's compiled detector on the same record: it filters and detects, no more."""
    try:
        from sleepecg import detect_heartbeats
    except ImportError:
        return None
    whole = x.astype(np.float64)
    return lambda: detect_heartbeats(whole, float(SAMPLING_RATE_HZ))


def _hard_signals(n: int) -> dict[str, NDArray[np.float32]]:
    """Return signals of n samples, each hard to process in its own way."""
    rng = np.random.default_rng(0)
    # A patient of 150 bpm, played at twice the rate it was made for.
    fast = SyntheticPatient(PatientConfig(fs=SAMPLING_RATE_HZ / 2, bpm=150.0, seed=1))
    missing = rng.normal(0, 0.3, n)
    missing[rng.random(n) < 0.05] = np.nan
    hard = {
        "noise": rng.normal(0, 0.3, n),
        "spikes": np.where(rng.random(n) < 0.01, 5.0, 0.0),
        "missing_values": missing,
        "300_bpm": fast.generate(n).samples,
    }
    return {name: np.ascontiguousarray(x, dtype=np.float32) for name, x in hard.items()}


def _live_chunk_us(x: NDArray[np.float32]) -> float:
    """Return what a chunk of a live source takes, of one lead or of several side by side."""
    chunks = range(0, min(_LIVE_S * SAMPLING_RATE_HZ, x.shape[-1]), CHUNK)
    blocks = [SampleBlock(at, x[..., at : at + CHUNK]) for at in chunks]

    def stream() -> None:
        segmenter = Segmenter(360.0, leads=blocks[0].leads)
        for block in blocks:
            segmenter.push(block)

    return 1e6 * shortest_s(stream) / len(blocks)
