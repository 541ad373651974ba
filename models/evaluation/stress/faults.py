"""Faults of real ECG streams, put into clean records.

Pure functions: arrays in, new arrays out, nothing is changed in place; whatever is random comes
from the generator that is passed. Signals are float32[n] in mV, ``at`` and ``end`` are samples.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.schema.messages import FLAG_LEAD_OFF, FLAG_SATURATED

Signal = NDArray[np.float32]
Flags = NDArray[np.uint8]
Spans = list[tuple[int, int]]
"""First sample and end of each chunk, in the order in which they arrive."""


def in_chunks(n: int, fs_hz: float, length_s: float = 0.05) -> Spans:
    """Return ``n`` samples in chunks of a length, in order."""
    return list(pairwise([*range(0, n, max(1, round(length_s * fs_hz))), n]))


def without(n: int, lost: Spans) -> Spans:
    """Return what arrives of ``n`` samples when some are lost."""
    present = np.ones(n, dtype=np.int8)
    for first, end in lost:
        present[first:end] = 0
    edges = np.flatnonzero(np.diff(present, prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def lost_packets(
    n: int, fs_hz: float, share: float, length_s: float, rng: np.random.Generator
) -> Spans:
    """Return packets of a length that get lost at random, so that ``share`` of the signal does."""
    length = round(length_s * fs_hz)
    starts = np.arange(0, n - length + 1, length)
    return [(int(a), int(a) + length) for a in starts[rng.random(starts.size) < share]]


def repeated(spans: Spans, share: float, rng: np.random.Generator) -> Spans:
    """Return chunks of which some arrive twice, the second time up to ten chunks later."""
    keys = [(float(i), span) for i, span in enumerate(spans)]
    again = np.flatnonzero(rng.random(len(spans)) < share)
    keys += [(i + rng.uniform(0, 10), spans[i]) for i in again.tolist()]
    return [span for _, span in sorted(keys)]


def swapped(spans: Spans, share: float, rng: np.random.Generator) -> Spans:
    """Return chunks of which some change places with the next one."""
    order = list(spans)
    for i in np.flatnonzero(rng.random(len(spans) - 1) < share).tolist():
        order[i], order[i + 1] = order[i + 1], order[i]
    return order


def delayed(spans: Spans, share: float, samples: int, rng: np.random.Generator) -> Spans:
    """Return chunks of which some come after everything that begins ``samples`` after their end."""
    late = rng.random(len(spans)) < share
    keys = [(end + samples + 1 if late[i] else a, i) for i, (a, end) in enumerate(spans)]
    return [spans[i] for _, i in sorted(keys)]


def clock_off(samples: Signal, parts_per_million: float) -> Signal:
    """Return the signal as a device samples it whose clock is faster by so much."""
    n = int((samples.size - 1) * (1.0 + parts_per_million * 1e-6)) + 1
    at = np.arange(n) / (1.0 + parts_per_million * 1e-6)
    return np.interp(at, np.arange(samples.size), samples).astype(np.float32)


def lead_off(samples: Signal, at: int, end: int, rng: np.random.Generator) -> tuple[Signal, Flags]:
    """Return a signal whose electrode is off for a while: the device flags it, and mains hum in."""
    out, flags = samples.copy(), np.zeros(samples.size, dtype=np.uint8)
    hum = 2.0 * np.sin(0.9 * np.arange(end - at)) + rng.normal(0.0, 0.5, end - at)
    out[at:end] = samples[at] + hum
    flags[at:end] = FLAG_LEAD_OFF
    return out, flags


def flat(samples: Signal, at: int, end: int, rng: np.random.Generator) -> Signal:
    """Return a signal that is a line for a while, but for 3 uV of noise."""
    out = samples.copy()
    out[at:end] = samples[at] + np.clip(rng.normal(0.0, 0.003, end - at), -0.009, 0.009)
    return out


def standstill(
    samples: Signal, fs_hz: float, at: int, end: int, rng: np.random.Generator
) -> Signal:
    """Return a signal of an asystole for a while: breathing, 50 uV, and 3 uV of noise."""
    out = samples.copy()
    t = np.arange(end - at) / fs_hz
    slow = 0.05 * np.sin(2 * np.pi * 0.3 * t)
    out[at:end] = samples[at] + slow + rng.normal(0.0, 0.003, end - at)
    return out


def saturated(samples: Signal, at: int, end: int) -> tuple[Signal, Flags]:
    """Return a signal that stays at the upper rail for a while, a millivolt above its highest."""
    out, flags = samples.copy(), np.zeros(samples.size, dtype=np.uint8)
    out[at:end] = samples.max() + 1.0
    flags[at:end] = FLAG_SATURATED
    return out, flags


def missing(samples: Signal, at: int, end: int, value: float = np.nan) -> Signal:
    """Return a signal with a stretch of what is no number."""
    out = samples.copy()
    out[at:end] = value
    return out


def sine(samples: Signal, fs_hz: float, amplitude_mv: float, frequency_hz: float) -> Signal:
    """Return a signal with a sine added: the hum of a power line, or a baseline that wanders."""
    t = np.arange(samples.size) / fs_hz
    return (samples + amplitude_mv * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def step(samples: Signal, at: int, height_mv: float) -> Signal:
    """Return a signal that jumps and stays there."""
    out = samples.copy()
    out[at:] += np.float32(height_mv)
    return out


def gain_change(samples: Signal, at: int, factor: float) -> Signal:
    """Return a signal that is larger or smaller from a sample on, about its own level."""
    out = samples.copy()
    level = np.float32(np.median(samples))
    out[at:] = level + (samples[at:] - level) * np.float32(factor)
    return out


def inverted(samples: Signal) -> Signal:
    """Return a signal whose electrodes were exchanged."""
    return -samples
