"""Faults of real ECG streams, each injected into a clean one, and the limits for the stream.

Each of `INJECTIONS` injects one kind of fault (`models.evaluation.stress.faults`) into a
`CleanStream` and yields its findings. The tests hold the stream to their limits, and
`evaluate_faults` measures them on records, for the table of ``docs/detector.md``: the same code. A
finding without a limit is reported for information.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np

from models.ec57.matching import match_beats, match_samples
from models.evaluation.stress import faults
from models.evaluation.stress.fault_findings import (
    CleanStream,
    Finding,
    differing,
    differing_messages,
    lost_sensitivity,
    missing_until_s,
    not_analysable,
    not_scored,
    overlap_s,
    run_segmenter,
    run_stream,
    scored,
)
from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from pipeline.constants import SAMPLING_RATE_HZ, WINDOW_SAMPLES
from pipeline.signal.quality import Reason
from pipeline.signal.reorder import REORDER_S
from pipeline.signal.segment import Segment
from pipeline.signal.source_clock import LINE_S, SourceClock
from replay.annotations import read_beats
from replay.records import read_lead

RECORDS: Final = ("100", "103", "115", "122")
"""Sinus rhythm with next to no noise, first lead."""

MINUTES: Final = 10.0
"""The beginning of each record that is used."""

SEED: Final = 4
"""Of the random numbers of a fault."""

LASTING_S: Final = 10.0
"""Length of a span without signal."""

STAMPED_FROM_S: Final = 1_780_000_000.0
"""Where the source's clock begins, in seconds since 1970."""

Injection = Callable[[CleanStream], Iterator[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstFinding:
    """The worst finding of the records."""

    fault: str
    what: str
    value: float | None
    """None where it never came."""
    at_most: float | None
    """Its limit; None if there is none."""
    unit: str
    kept: bool | None
    """Whether it is within its limit."""
    record: str


def gaps(clean: CleanStream) -> Iterator[Finding]:
    """Lose 40 ms, five seconds, and one packet of 20 ms in a hundred."""
    n = clean.samples.size
    short = [(clean.at, clean.after(0.04))]
    segment = run_segmenter(clean, spans=faults.without(n, short))
    fault = "gap of 40 ms"
    yield Finding(fault, "windows scored that hold it", _held(clean, segment, short))
    yield Finding(fault, "changes of the stream's state", float(len(segment.quality)))

    long = [(clean.at, clean.after(5.0))]
    segment = run_segmenter(clean, spans=faults.without(n, long))
    across = int(np.searchsorted(segment.samples, long[0][1]))
    fault = "gap of 5 s"
    yield Finding(fault, "windows scored that span it", _held(clean, segment, long))
    yield Finding(fault, "RR intervals across it", float(np.isfinite(segment.rr_s[across])))
    yield Finding(
        fault, "beats missed until", missing_until_s(clean, segment, long[0][1]), 2.0, "s"
    )

    rng = np.random.default_rng(SEED)
    lost = faults.lost_packets(n, clean.fs_hz, 0.01, 0.02, rng)
    segment = run_segmenter(clean, spans=faults.without(n, lost))
    tenth = overlap_s(clean, segment, lost) > 0.1 * WINDOW_SAMPLES / SAMPLING_RATE_HZ
    fault = "1 % of 20 ms packets lost"
    yield Finding(fault, "sensitivity lost", lost_sensitivity(clean, segment), 2.0, "points")
    yield Finding(fault, "windows scored that lack over 10 %", scored(segment, tenth))
    yield Finding(fault, "windows not scored", not_scored(segment), None, "%")


def repeats(clean: CleanStream) -> Iterator[Finding]:
    """Deliver a fifth of the chunks twice."""
    spans = faults.in_chunks(clean.samples.size, clean.fs_hz)
    again = faults.repeated(spans, 0.2, np.random.default_rng(SEED))
    segment = run_segmenter(clean, spans=again)
    fault = "20 % of chunks twice"
    yield Finding(fault, "beats that differ", differing(run_segmenter(clean), segment))
    yield Finding(fault, "samples taken for missing", float(segment.gap_samples))


def disorder(clean: CleanStream) -> Iterator[Finding]:
    """Deliver one chunk in a hundred after the next one, or half a second late and more."""
    spans = faults.in_chunks(clean.samples.size, clean.fs_hz)
    rng = np.random.default_rng(SEED)
    usual = run_stream(clean, spans=spans)
    output = run_stream(clean, spans=faults.swapped(spans, 0.01, rng))
    fault = "1 % of chunks after the next"
    yield Finding(fault, "beats and alerts that differ", differing_messages(usual, output))
    yield Finding(fault, "samples that came too late", float(output.counters.late_samples))

    late = faults.delayed(spans, 0.01, round(REORDER_S * clean.fs_hz), rng)
    output = run_stream(clean, spans=late)
    counters = output.counters
    uncounted = abs(counters.gap_samples - counters.late_samples)
    fault = "1 % of chunks over 0.5 s late"
    yield Finding(fault, "samples dropped but not counted", float(uncounted))
    yield Finding(fault, "windows not scored", output.not_scored, None, "%")


def clocks(clean: CleanStream) -> Iterator[Finding]:
    """Deliver chunks early and late, and step the clocks of machine and source."""
    rng = np.random.default_rng(SEED)
    half_s = clean.at / clean.fs_hz
    usual = run_stream(clean)
    for fault, clock in (
        ("chunks arrive ±50 ms", lambda due_s: due_s + rng.uniform(-0.05, 0.05)),
        ("clock steps by +1 h", lambda due_s: due_s + 3600.0 * (due_s > half_s)),
        ("clock steps by -1 h", lambda due_s: due_s - 3600.0 * (due_s > half_s)),
    ):
        output = run_stream(clean, clock=clock)
        yield Finding(fault, "beats and alerts that differ", differing_messages(usual, output))
    for step_s in (3600.0, -3600.0):
        fault = f"source's clock steps by {step_s / 3600.0:+.0f} h"
        output = run_stream(clean, stamp=partial(_stepping, step_s=step_s, at_s=half_s))
        others = [alert for alert in output.alerts if alert.kind != "clock_stepped"]
        differing_others = differing_messages(usual, replace(output, alerts=others))
        yield Finding(fault, "beats and alerts that differ", differing_others)
        off_by = abs(1.0 - output.alerted("clock_stepped"))
        yield Finding(fault, "alerts of a stepped clock more or fewer than one", off_by)


def _stepping(due_s: float, *, step_s: float, at_s: float) -> float:
    """Return the stamp of a clock that stepped at ``at_s`` into the stream."""
    return STAMPED_FROM_S + due_s + step_s * (due_s > at_s)


def drift(clean: CleanStream) -> Iterator[Finding]:
    """Run the clock of the device 200 ppm slow and fast."""
    within = match_samples(clean.fs_hz)
    for parts_per_million in (-200.0, 200.0):
        found = run_segmenter(clean, faults.clock_off(clean.samples, parts_per_million)).samples
        of_true = clean.beats * (1.0 + parts_per_million * 1e-6)
        pairs = match_beats(of_true.astype(np.int64), found, within)
        straight = run_segmenter(clean).samples
        usual = match_beats(clean.beats, straight, within)
        both = (pairs >= 0) & (usual >= 0)
        late = (found[pairs] - of_true) - (straight[usual] - clean.beats)
        moved_ms = 1e3 * float(np.abs(np.median(late[both]))) / clean.fs_hz
        off = np.abs(found[pairs] - straight[usual])[both][-1] / clean.beats[both][-1]
        fault = f"device clock {parts_per_million:+g} ppm"
        yield Finding(fault, "beats moved within the stream", moved_ms, 5.0, "ms")
        yield Finding(fault, "time_s off after an hour", 3.6e6 * float(off), None, "ms")
        fitted_ms = 1e3 * _event_time_off_s(clean.fs_hz, parts_per_million)
        yield Finding(
            f"{fault}, stamps ±50 ms", "event_utc off, minutes 5 to 60", fitted_ms, 5.0, "ms"
        )


@cache  # four seconds of computing, the same for every record of one rate
def _event_time_off_s(fs_hz: float, parts_per_million: float) -> float:
    """Return by how much the fitted time is off at worst, from the fifth minute of an hour on."""
    rng = np.random.default_rng(SEED)
    clock = SourceClock(fs_hz)
    ends = np.round(np.arange(0.25, 3600.0, 0.25) * fs_hz)
    true_s = STAMPED_FROM_S + ends / (fs_hz * (1.0 + parts_per_million * 1e-6))
    worst = 0.0
    for sample, at_s in zip(ends.astype(int).tolist(), true_s.tolist(), strict=True):
        clock.observe(sample, at_s + rng.uniform(-0.05, 0.05))
        fitted_s = clock.utc_s(sample)
        if sample >= 5 * LINE_S * fs_hz and fitted_s is not None:
            worst = max(worst, abs(fitted_s - at_s))
    return worst


def lead_off(clean: CleanStream) -> Iterator[Finding]:
    """Take the electrode off; the device flags it."""
    at, end, rng = clean.at, clean.after(LASTING_S), np.random.default_rng(SEED)
    samples, flags = faults.lead_off(clean.samples, at, end, rng)
    fault = "electrode off, flagged, 10 s"
    yield from not_analysable(clean, fault, samples, flags, at, end)
    output = run_stream(clean, samples, flags)
    yield Finding(fault, "asystole alerts", float(output.alerted("asystole")))


def flat_line(clean: CleanStream) -> Iterator[Finding]:
    """Insert a flat line, and an asystole."""
    at, end, rng = clean.at, clean.after(LASTING_S), np.random.default_rng(SEED)
    fault = "flat line, 10 s"
    line = faults.flat(clean.samples, at, end, rng)
    yield from not_analysable(clean, fault, line, None, at, end)
    fault = "heart stands still, 10 s, breathing of 50 µV"
    output = run_stream(clean, faults.standstill(clean.samples, clean.fs_hz, at, end, rng))
    off_by = abs(1.0 - output.alerted("asystole"))
    yield Finding(fault, "asystole alerts more or less than one", off_by)


def saturation(clean: CleanStream) -> Iterator[Finding]:
    """Hold the signal at the upper rail of the converter; the source flags it."""
    at, end = clean.at, clean.after(LASTING_S)
    samples, flags = faults.saturated(clean.samples, at, end)
    yield from not_analysable(clean, "saturated, flagged, 10 s", samples, flags, at, end)
    samples, flags = faults.saturated(clean.samples, at, at + 5)
    fault = "5 samples at the rail"
    segment = run_segmenter(clean, samples, flags)
    yield Finding(fault, "windows scored that hold it", _held(clean, segment, [(at, at + 5)]))


def no_values(clean: CleanStream) -> Iterator[Finding]:
    """Hold NaN for one sample, and NaN and infinity for long."""
    at, end = clean.at, clean.after(LASTING_S)
    one = [(at, at + 1)]
    usual, segment = (
        run_segmenter(clean),
        run_segmenter(clean, faults.missing(clean.samples, *one[0])),
    )
    held = overlap_s(clean, segment, one) > 0
    fault = "one NaN"
    yield Finding(fault, "windows scored that hold it", scored(segment, held))
    more = float(np.sum(segment.reasons[~held] != 0) - np.sum(usual.reasons != 0))
    yield Finding(fault, "other windows not scored", max(0.0, more))
    _, mine, its = np.intersect1d(usual.r_samples, segment.r_samples, return_indices=True)
    later = usual.samples[mine] > clean.after(1.0)
    apart = np.abs(usual.windows[mine] - segment.windows[its])[later].max()
    yield Finding(fault, "windows a second later are off by", 50.0 * float(apart), 1.0, "%")
    for fault, value in (("NaN for 10 s", np.nan), ("infinity for 10 s", np.inf)):
        samples = faults.missing(clean.samples, at, end, value)
        yield from not_analysable(clean, fault, samples, None, at, end)


def mains(clean: CleanStream) -> Iterator[Finding]:
    """Add 0.5 mV of 50 and 60 Hz, half a hertz off as well."""
    for frequency_hz in (49.5, 50.0, 50.5, 59.5, 60.0, 60.5):
        samples = faults.sine(clean.samples, clean.fs_hz, 0.5, frequency_hz)
        segment = run_segmenter(clean, samples)
        fault = f"mains, 0.5 mV at {frequency_hz:g} Hz"
        yield Finding(fault, "sensitivity lost", lost_sensitivity(clean, segment), 1.0, "points")
        yield Finding(fault, "windows not scored", not_scored(segment), None, "%")


def baseline(clean: CleanStream) -> Iterator[Finding]:
    """Make the baseline wander, and jump."""
    segment = run_segmenter(clean, faults.sine(clean.samples, clean.fs_hz, 1.0, 0.3))
    lost = lost_sensitivity(clean, segment)
    yield Finding("wander, 1 mV at 0.3 Hz", "sensitivity lost", lost, 1.0, "points")
    for height_mv in (-2.0, 2.0):
        segment = run_segmenter(clean, faults.step(clean.samples, clean.at, height_mv))
        until_s = missing_until_s(clean, segment, clean.at)
        yield Finding(f"step of {height_mv:+g} mV", "beats missed until", until_s, 2.0, "s")


def gain(clean: CleanStream) -> Iterator[Finding]:
    """Make the signal four times smaller and larger."""
    for factor in (0.25, 4.0):
        segment = run_segmenter(clean, faults.gain_change(clean.samples, clean.at, factor))
        lost = lost_sensitivity(clean, segment, clean.after(10.0))
        fault = f"gain times {factor:g}"
        yield Finding(fault, "sensitivity lost after 10 s", lost, 1.0, "points")


def polarity(clean: CleanStream) -> Iterator[Finding]:
    """Turn the signal upside down."""
    usual, segment = run_segmenter(clean), run_segmenter(clean, faults.inverted(clean.samples))
    fault = "polarity turned"
    yield Finding(fault, "sensitivity lost", lost_sensitivity(clean, segment), 2.0, "points")
    _, mine, its = np.intersect1d(usual.r_samples, segment.r_samples, return_indices=True)
    whole = (usual.reasons[mine] == Reason.OK) & (segment.reasons[its] == Reason.OK)
    sums = np.abs(usual.windows[mine] + segment.windows[its])[whole].max(axis=1)
    yield Finding(fault, "windows turned back", float(np.sum(sums > 1e-3)))


INJECTIONS: Final[tuple[Injection, ...]] = (
    gaps, repeats, disorder, clocks, drift, lead_off, flat_line, saturation, no_values, mains,
    baseline, gain, polarity,
)  # fmt: skip


def _held(clean: CleanStream, segment: Segment, spans: faults.Spans) -> float:
    return scored(segment, overlap_s(clean, segment, spans) > 0)


def evaluate_faults(
    data: Path, *, on_step: Callable[[str], None] = lambda text: None
) -> Iterator[WorstFinding]:
    """Yield all findings, each the worst of `RECORDS`.

    Args:
        data: folder of the records, or the folder that holds ``mitdb/``.
        on_step: called before each kind of fault: `STEPS` times.

    Raises:
        InputError: a record is missing or unusable.
        ArtifactError: what ships is unusable.
    """
    folder = data / "mitdb" if (data / "mitdb").is_dir() else data
    scorer, config = load_scorer(device="cpu"), load_calibration()
    streams = {}
    for name in RECORDS:
        info, samples = read_lead(folder / name, 0)
        beats, _ = read_beats(folder / name, lead=0)
        n = min(samples.size, round(60.0 * MINUTES * info.fs_hz))
        streams[name] = CleanStream(
            samples=samples[:n],
            fs_hz=info.fs_hz,
            beats=beats[beats < n],
            scorer=scorer,
            config=config,
        )
    for inject in INJECTIONS:
        on_step(inject.__name__.replace("_", " "))
        for found in zip(*(inject(stream) for stream in streams.values()), strict=True):
            value, record = max((one.value, name) for one, name in zip(found, streams, strict=True))
            worst = found[0]._replace(value=value)
            yield WorstFinding(
                fault=worst.fault,
                what=worst.what,
                value=worst.value if np.isfinite(worst.value) else None,
                at_most=worst.at_most,
                unit=worst.unit,
                kept=worst.kept,
                record=record,
            )


STEPS: Final = len(INJECTIONS)
"""Steps of `evaluate_faults`."""
