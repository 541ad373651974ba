"""Kernels that complete beats: their positions, their intervals, and the windows around them."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import copy, jit, value_range

FLAT, INCOMPLETE = 3, 7
# Columns of a beat that waits for its window: R peak of the patient, the sample with which the beat
# was sure, the lead of its window, and from FIRST_R on its R peak in each lead.
R, SURE, LEAD, FIRST_R = range(4)

NEVER = 2**62
"""Beyond all positions."""

LONGEST_TEXT: Final = len("-32.767,")
"""Of one value of a ring in JSON."""

_MINUS, _POINT, _ZERO, _COMMA, _OPENING, _CLOSING = (ord(sign) for sign in "-.0,[]")
_N, _U, _L = (ord(letter) for letter in "nul")


@jit
def nearest_input(k: int, step: int, per: int) -> int:
    """Return the resampler's input that lies nearest to output ``k``, without overflow.

    Output k lies ``step / per`` inputs after output k - 1.
    """
    whole, rest = k // per, k % per
    return whole * step + (2 * rest * step + per) // (2 * per)


@jit
def nearest_inputs(k: NDArray[np.int64], step: int, per: int, out: NDArray[np.int64]) -> None:
    """Write `nearest_input` of each of int64[n] to ``out``, int64[n]."""
    for i in range(k.size):
        out[i] = nearest_input(k[i], step, per)


@jit
def complete(
    found: NDArray[np.int64],
    pending: NDArray[np.int64],
    waited: int,
    last: int,
    reach: int,
    after: int,
    newest: int,
    origin: int,
    step: int,
    per: int,
    half: int,
    last_r: int,
    last_run: int,
    runs: NDArray[np.uint8],
    first: int,
    rate_hz: float,
    closed: bool,
    beats: NDArray[np.int64],
    positions: NDArray[np.int64],
    rr_s: NDArray[np.float64],
) -> tuple[int, int, int]:
    """Write which beats are complete, where they lie, and their intervals; the others wait.

    Args:
        found: int64[f, FIRST_R + leads], new beats in order of time; of one lead the first two
            columns are enough. Positions count from ``origin``.
        pending: int64[p, FIRST_R + leads], those that wait, updated. When ``closed`` nothing does.
            Of more than ``p`` only the first are kept: no stream has so many.
        waited: how many have waited so far.
        last: the newest position.
        reach: samples after the R peak in the lead where it comes last that complete a window.
        after: samples after it that a window needs.
        newest: the source's newest sample.
        origin: position of the segment's start in the 360 Hz stream.
        step: output k of the resampler lies ``step / per`` inputs after output k - 1,
        per: see ``step``,
        half: and needs so many after that.
        last_r: R peak of the beat before, in the 360 Hz stream; negative for none.
        last_run: the run that it belongs to.
        runs: uint8[m]: the run that each sample belongs to, from position ``first`` on; odd ones
            show no QRS.
        first: see ``runs``.
        rate_hz: of the stream, 360.
        closed: whether no sample follows.
        beats: int64[waited + f, FIRST_R + leads], written: the complete ones, and those that wait.
        positions: int64[3, waited + f], written: R peaks in the 360 Hz stream and in the source's
            samples, and the source's last sample that was needed.
        rr_s: float64[waited + f], written: intervals in seconds, NaN unless one run that shows QRS
            complexes holds both beats.

    Returns:
        How many beats are complete, the run of the last one, and with which position the next one
        of those that wait is complete: `NEVER` where none waits.
    """
    for b in range(waited):
        copy(pending[b], beats[b])
    for b in range(len(found)):
        for k in range(beats.shape[1]):
            of_one_lead = found[b, R] if k == FIRST_R else 0
            beats[waited + b, k] = found[b, k] if k < found.shape[1] else of_one_lead
    n, due = 0, NEVER
    for b in range(len(beats)):
        end = beats[b, FIRST_R]
        for k in range(FIRST_R + 1, beats.shape[1]):
            end = max(end, beats[b, k])
        if end + reach > last:
            due = end + reach
            break
        r, run = beats[b, R] + origin, np.int64(runs[beats[b, R] - first])
        positions[0, b] = r
        positions[1, b] = nearest_input(r, step, per)
        needed = max(end + after, beats[b, SURE]) + origin
        whole, rest = needed // per, needed % per
        positions[2, b] = min(whole * step + rest * step // per + half, newest)
        known = (last_r >= 0) & (last_run == run) & (run % 2 == 0)
        rr_s[b] = (r - last_r) / rate_hz if known else np.nan
        last_r, last_run = int(r), int(run)
        n += 1
    if not closed:
        for b in range(n, min(len(beats), n + len(pending))):
            copy(beats[b], pending[b - n])
    return n, last_run, due


@jit
def cut_beats(
    filtered: NDArray[np.float32],
    masks: NDArray[np.uint8],
    first: int,
    last: int,
    beats: NDArray[np.int64],
    before: int,
    flat_mv: float,
    windows: NDArray[np.float32],
    spans: NDArray[np.float32],
    reasons: NDArray[np.uint8],
    chosen: NDArray[np.uint8],
) -> None:
    """Cut the windows of beats out of each lead, say which cannot be analysed, and choose leads.

    Args:
        filtered: float32[leads, n], mV.
        masks: uint8[leads, n], why each sample is masked, 0 where it is not.
        first: position of the arrays' first sample, counted from the segment's start.
        last: the newest position that counts.
        beats: int64[b, FIRST_R + leads].
        before: samples of a window before its R peak.
        flat_mv: a window whose extremes lie closer than this becomes zeros.
        windows: float32[leads, b, width], written, scaled to [-1, 1]; zeros where one reaches over
            an end of the segment.
        spans: float32[leads, b], written: the distance between the extremes, mV.
        reasons: uint8[leads, b], written: the smallest code of a window's samples, FLAT, or
            INCOMPLETE.
        chosen: uint8[b], written: the lead to see each beat in. That is its own, or, where its
            window cannot be analysed there, the first other one where it can.
    """
    leads, count, width = windows.shape
    for lead in range(leads):
        band, why = filtered[lead], masks[lead]
        for b in range(count):
            begin, window = beats[b, FIRST_R + lead] - before, windows[lead, b]
            if begin < 0 or begin + width - 1 > last:
                window[:] = np.float32(0.0)
                spans[lead, b], reasons[lead, b] = 0.0, INCOMPLETE
                continue
            at = begin - first
            span = _scale(band[at : at + width], flat_mv, window)
            code = _worst_code(why[at : at + width])
            spans[lead, b], reasons[lead, b] = span, FLAT if code == 0 and span < flat_mv else code
    for b in range(count):
        chosen[b] = beats[b, LEAD]
        for lead in range(leads):
            if reasons[chosen[b], b] != 0 and reasons[lead, b] == 0:
                chosen[b] = lead


@jit
def cut_windows(
    filtered: NDArray[np.float32],
    starts: NDArray[np.int64],
    flat_mv: float,
    windows: NDArray[np.float32],
    spans: NDArray[np.float32],
) -> None:
    """Copy windows out of ``filtered`` and scale each to [-1, 1] by its own extremes.

    Args:
        filtered: float32[n], mV.
        starts: int64[b], first sample of each window, 0 <= start <= n - width.
        flat_mv: a window whose extremes lie closer than this becomes zeros (flat-line guard).
        windows: float32[b, width], written.
        spans: float32[b], written: the distance between the extremes, mV.
    """
    width = windows.shape[1]
    for b in range(starts.size):
        spans[b] = _scale(filtered[starts[b] : starts[b] + width], flat_mv, windows[b])


@jit
def _worst_code(codes: NDArray[np.uint8]) -> int:
    """Return the smallest code other than 0, 0 where all samples are good."""
    worst = np.uint8(255)
    for i in range(codes.size):  # several a step; one less than 0 is the largest number there is
        worst = min(worst, np.uint8(codes[i] - np.uint8(1)))
    return int(np.uint8(worst + np.uint8(1)))


@jit
def _scale(x: NDArray[np.float32], flat_mv: float, window: NDArray[np.float32]) -> float:
    """Write ``x`` scaled to [-1, 1] by its own extremes; return the distance between these."""
    low, high = value_range(x, 0, x.size)
    span = high - low
    if span < flat_mv:
        window[:] = np.float32(0.0)
    else:
        scale = np.float32(2.0) / span
        for i in range(x.size):
            window[i] = (x[i] - low) * scale - np.float32(1.0)
    return span


@jit
def keep_whole(
    x: NDArray[np.float32],
    at: int,
    most: float,
    per_unit: float,
    unknown: int,
    rings: NDArray[np.int16],
) -> None:
    """Write values of leads to their rings from the place ``at`` on, as integers.

    Args:
        x: float32[leads, n], n at most as many as a ring has places.
        at: of the first one.
        most: larger values are kept as this, on either side,
        per_unit: times this, rounded to the nearest;
        unknown: and NaN as this.
        rings: int16[leads, size], updated.
    """
    leads, n = x.shape
    for k in range(leads):
        to = at
        for i in range(n):
            value = np.float64(x[k, i])
            if math.isnan(value):
                rings[k, to] = unknown
            else:
                rings[k, to] = np.rint(min(max(value, -most), most) * per_unit)
            to = to + 1 if to + 1 < rings.shape[1] else 0


@jit
def write_thousandths(kept: NDArray[np.int16], unknown: int, text: NDArray[np.uint8]) -> int:
    """Write values of a ring, which are thousandths, as the list that JSON has of them.

    Args:
        kept: int16[n].
        unknown: what stands for no value, and becomes ``null``.
        text: uint8[LONGEST_TEXT * n + 2] or longer, filled from its beginning.

    Returns:
        How many bytes were written.
    """
    text[0] = _OPENING
    to = 1
    for i in range(kept.size):
        value = np.int64(kept[i])
        if value == unknown:
            text[to], text[to + 1], text[to + 2], text[to + 3] = _N, _U, _L, _L
            to += 4
        else:
            if value < 0:
                value = -value
                text[to] = _MINUS
                to += 1
            whole, rest = value // 1000, value % 1000
            if whole >= 10:
                text[to] = _ZERO + whole // 10
                to += 1
            text[to], text[to + 1], text[to + 2] = _ZERO + whole % 10, _POINT, _ZERO + rest // 100
            to += 3
            if rest % 100:
                text[to] = _ZERO + rest // 10 % 10
                to += 1
            if rest % 10:
                text[to] = _ZERO + rest % 10
                to += 1
        text[to] = _COMMA
        to += 1
    # In the place of the last comma.
    to = max(to, 2)
    text[to - 1] = _CLOSING
    return to
