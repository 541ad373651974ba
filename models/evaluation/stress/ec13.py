"""The test waveforms that standards for bedside monitors list, and what comes out for each.

A disclosure, as the manual of every bedside monitor has one. **No conformity is claimed**: the
texts of ANSI/AAMI EC13 and IEC 60601-2-27 were not read; the waveforms are those that
manufacturers' manuals name when they cite them, synthesised here (`waveforms` beside this); the
bounds are the ones these manuals state. The irregular rhythms and the ventricular tachycardias are
named as there and made by their description; PhysioNet's `aami-ec13` has the originals.

All signals go through the stream that ships, at 500 Hz, with 5 uV of noise. A figure without a
bound is reported for information.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from models.evaluation.stress import waveforms
from models.evaluation.stress.shown import Shown, run_shown
from models.evaluation.stress.waveforms import (
    VENTRICULAR,
    Beat,
    Pulse,
    Wave,
    heart,
    pulses,
    regular,
)

FS_HZ: Final = 500.0
NOISE_MV: Final = 0.005

USUAL_BPM: Final = 80.0
RATE_BEAT: Final = Beat(qrs_s=0.08)
"""At 300 bpm a wider QRS complex leaves nothing flat: a flutter."""
SETTLED_S: Final = 10.0
"""Earlier beats do not count: the detector learns."""

ALARM_WITHIN_S: Final = 10.0
"""An alarm has to come this soon after the onset."""
RATE_WITHIN_S: Final = 11.0
"""The slowest response of a shown rate that a manual states."""

MAINS_MV: Final = 0.1
"""Peak to valley; more is reported without a bound."""

LETHAL: Final = ("ventricular_tachycardia", "ventricular_fibrillation", "extreme_tachycardia")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveformFigure:
    """One figure of a test waveform."""

    waveform: str
    what: str
    value: float | None
    """None where it never came, or nothing was shown."""
    unit: str = ""
    at_least: float | None = None
    """Its bounds; None if there is none."""
    at_most: float | None = None
    kept: bool | None = None
    """Whether it is within its bounds; None without one."""


Test = Callable[[], Iterator[WaveformFigure]]


def figure(
    waveform: str,
    what: str,
    value: float | None,
    unit: str = "",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> WaveformFigure:
    """Return a figure; one that never came is within no bounds."""
    value = None if value is None or np.isnan(value) else round(float(value), 2)
    kept = None
    if at_least is not None or at_most is not None:
        kept = value is not None and (
            (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
        )
    return WaveformFigure(
        waveform=waveform, what=what, value=value, unit=unit,
        at_least=at_least, at_most=at_most, kept=kept,
    )  # fmt: skip


def tolerance_bpm(bpm: float) -> float:
    """Return by how much a shown rate may be off: 10 % or 5 bpm, the larger."""
    return max(0.1 * bpm, 5.0)


def shown_rate(waveform: str, shown: Shown, bpm: float, at_s: float) -> WaveformFigure:
    """Return the rate that was shown at a time, and its bounds."""
    off, rate = tolerance_bpm(bpm), shown.rate_at(at_s)
    what = f"rate shown, right is {bpm:g}"
    return figure(waveform, what, rate, "bpm", at_least=bpm - off, at_most=bpm + off)


def run(seconds: float, *parts: Wave) -> Shown:
    """Run the sum of signals of the same length, and noise, through the stream."""
    signal = waveforms.noise(NOISE_MV, seconds, FS_HZ)
    for part in parts:
        signal = signal + part
    return run_shown(signal, FS_HZ)


def beating(at_s: Wave, seconds: float, beat: Beat) -> Wave:
    """Return the signal of one beat at each of the times."""
    return heart([(t, beat) for t in at_s], seconds, FS_HZ)


def steady(bpm: float, seconds: float, beat: Beat | None = None) -> tuple[Wave, Wave]:
    """Return the times and the signal of a steady rhythm."""
    at_s = regular(bpm, 0.5, seconds)
    return at_s, beating(at_s, seconds, (beat or RATE_BEAT).for_interval(60.0 / bpm))


def changing(old: float, new: float, seconds: float) -> tuple[float, Shown]:
    """Return when the last beat at the old rate comes, about 30 s, and what a change brings."""
    before = regular(old, 0.5, 30.0)
    after = regular(new, before[-1] + 60.0 / new, seconds)
    beats = [(t, RATE_BEAT.for_interval(60.0 / old)) for t in before]
    beats += [(t, RATE_BEAT.for_interval(60.0 / new)) for t in after]
    return float(before[-1]), run(seconds, heart(beats, seconds, FS_HZ))


def asystole() -> Iterator[WaveformFigure]:
    """Stop a heart of 80 bpm."""
    at_s = regular(USUAL_BPM, 0.5, 20.0)
    shown = run(60.0, beating(at_s, 60.0, Beat()))
    name = f"asystole after {USUAL_BPM:g} bpm"
    delay_s = shown.raised_s(["asystole"], at_s[-1])
    yield figure(name, "alarm after the last QRS", delay_s, "s", at_most=ALARM_WITHIN_S)
    early = sum(
        alert.kind == "asystole" and alert.state != "on" and alert.time_s < 59.0
        for _, alert in shown.raised
    )
    yield figure(name, "times the alarm ended before a QRS came", early, at_most=0)


def rates() -> Iterator[WaveformFigure]:
    """Keep to one rate for 30 s."""
    for bpm in (30, 40, 60, 80, 120, 180, 240, 300):
        shown = run(30.0, steady(bpm, 30.0)[1])
        yield shown_rate(f"{bpm} bpm", shown, bpm, 30.0)
        if bpm > 200:
            wrong = sum(a.kind == "asystole" and a.state == "on" for _, a in shown.raised)
            yield figure(f"{bpm} bpm", "asystole alarms", wrong, at_most=0)


def changes() -> Iterator[WaveformFigure]:
    """Change from one rate to another, and wait until the shown rate is right and stays so."""
    for old, new in ((80, 120), (80, 40), (40, 80), (120, 80)):
        since_s, shown = changing(old, new, 70.0)
        delay_s = shown.settled_s(new, tolerance_bpm(new), since_s)
        what = "rate right after the last beat at the old one"
        yield figure(f"{old} to {new} bpm", what, delay_s, "s", at_most=RATE_WITHIN_S)


def extreme_rates() -> Iterator[WaveformFigure]:
    """Change to a rate that threatens life; whatever lethal alarm says so counts."""
    for new in (30, 180, 240, 300):
        since_s, shown = changing(USUAL_BPM, new, 60.0)
        kinds = ["extreme_bradycardia"] if new < USUAL_BPM else LETHAL
        delay_s = shown.raised_s(kinds, since_s)
        what = "alarm of the rate after the last beat at the old one"
        yield figure(f"80 to {new} bpm", what, delay_s, "s", at_most=ALARM_WITHIN_S)


def qrs_sizes() -> Iterator[WaveformFigure]:
    """Vary height and width of the QRS at 80 bpm."""
    for width_s, mv in product((0.04, 0.08, 0.12), (0.15, 0.5, 1.0, 2.0, 5.0)):
        beat = Beat(qrs_mv=mv, qrs_s=width_s, t_mv=0.2 * mv)
        at_s, signal = steady(USUAL_BPM, 40.0, beat)
        shown = run(40.0, signal)
        name = f"QRS of {mv:g} mV and {1000 * width_s:g} ms"
        if mv < 0.5:
            counted = int(np.sum(shown.beats_s > SETTLED_S))
            yield figure(name, "beats counted in 30 s, none should be", counted, at_most=0)
        else:
            wrong = shown.miscounted(at_s, SETTLED_S, 39.0)
            yield figure(name, "of 39 beats missed or counted twice", wrong, at_most=0)


def t_waves() -> Iterator[WaveformFigure]:
    """Raise the T wave until the rate is wrong, and make it as tall as R, and twice as tall."""
    highest = 0.0
    for tenths in range(2, 31):
        _, signal = steady(USUAL_BPM, 30.0, Beat(t_mv=tenths / 10))
        rate = run(30.0, signal).rate_at(30.0)
        if not abs(rate - USUAL_BPM) <= tolerance_bpm(USUAL_BPM):
            break
        highest = tenths / 10
    what = "highest with the right rate, up to 3 mV"
    name = "tall T wave, 180 ms, QT 350 ms, QRS 1 mV and 100 ms"
    yield figure(name, what, highest, "mV", at_least=1.2)
    for t_mv, t_s in product((0.8, 1.6), (0.106, 0.18)):
        beat = Beat(qrs_mv=0.8, qrs_s=0.05, t_mv=t_mv, t_s=t_s, qt_s=0.28 + 0.5 * t_s)
        shown = run(30.0, steady(75.0, 30.0, beat)[1])
        name = f"T wave of {t_mv:g} mV and {1000 * t_s:g} ms, QRS 0.8 mV and 50 ms"
        yield shown_rate(name, shown, 75.0, 30.0)
        alarms = sum(a.state == "on" and a.kind != "anomalous_beat" for _, a in shown.raised)
        yield figure(name, "alarms", alarms, at_most=0)


def disturbances() -> Iterator[WaveformFigure]:
    """Add a drifting baseline, and mains."""
    _, signal = steady(USUAL_BPM, 30.0, Beat(qrs_mv=0.5, t_mv=0.1))
    moved = waveforms.drift(4.0, 0.1, 30.0, FS_HZ)
    name = "drift of 4 mV at 0.1 Hz, QRS 0.5 mV"
    yield shown_rate(name, run(30.0, signal, moved), USUAL_BPM, 30.0)
    for hz, mv in product((50.0, 60.0), (0.1, 0.3, 1.0)):
        hum = waveforms.mains(mv, hz, 30.0, FS_HZ)
        name = f"mains of {mv:g} mV at {hz:g} Hz"
        shown = run(30.0, signal, hum)
        if mv == MAINS_MV:
            yield shown_rate(f"{name}, QRS 0.5 mV", shown, USUAL_BPM, 30.0)
            alone = int(np.sum(run(30.0, hum).beats_s > SETTLED_S))
            yield figure(f"{name}, no heart", "beats counted in 20 s", alone, at_most=0)
        else:
            what = f"rate shown, right is {USUAL_BPM:g}"
            yield figure(f"{name}, QRS 0.5 mV", what, shown.rate_at(30.0), "bpm")


def irregular() -> Iterator[WaveformFigure]:
    """Read the rate of irregular rhythms after 20 s."""
    early = Beat(qrs_mv=1.4, qrs_s=0.14, t_mv=-0.4, t_s=0.2, qt_s=0.38)
    rapid = Beat().for_interval(0.5), early.for_interval(0.5)
    turned = VENTRICULAR.for_interval(0.667)
    opposite = turned._replace(qrs_mv=-turned.qrs_mv, t_mv=-turned.t_mv)
    for name, bpm, pair, after_s in (
        ("3a, ventricular bigeminy", 80, (Beat(), early), 0.6),
        ("3b, slow alternating ventricular bigeminy", 60, (Beat(), early), 0.7),
        ("3c, rapid alternating ventricular bigeminy", 120, rapid, 0.42),
        ("3d, bidirectional systoles", 90, (turned, opposite), 0.667),
    ):
        starts = regular(bpm / 2, 0.5, 30.0)
        beats = sorted([(t, pair[0]) for t in starts] + [(t + after_s, pair[1]) for t in starts])
        shown = run(30.0, heart(beats, 30.0, FS_HZ))
        yield shown_rate(name, shown, float(bpm), 20.0)


def tachycardia() -> Iterator[WaveformFigure]:
    """Begin a ventricular tachycardia at 80 bpm, at half, whole and twice the height."""
    for name, bpm, mv in (("4a", 206.0, 1.0), ("4b", 195.0, 2.0)):
        for gain in (0.5, 1.0, 2.0):
            before = regular(USUAL_BPM, 0.5, 30.0)
            after = regular(bpm, before[-1] + 0.4, 55.0)
            # Of the whole deflection, QRS to T, the QRS makes some two thirds.
            wide = VENTRICULAR._replace(qrs_mv=0.65 * mv * gain, t_mv=-0.35 * mv * gain)
            beats = [(t, Beat(qrs_mv=gain, t_mv=0.2 * gain)) for t in before]
            beats += [(t, wide.for_interval(60.0 / bpm)) for t in after]
            shown = run(55.0, heart(beats, 55.0, FS_HZ))
            waveform = f"{name}, ventricular tachycardia of {mv * gain:g} mV and {bpm:g} bpm"
            for kinds, what in (
                (LETHAL, "first lethal alarm after the onset"),
                (LETHAL[:1], "ventricular tachycardia named after the onset"),
            ):
                bound = ALARM_WITHIN_S if kinds is LETHAL else None
                delay_s = shown.raised_s(kinds, float(after[0]))
                yield figure(waveform, what, delay_s, "s", at_most=bound)


PULSES: Final[dict[str, Sequence[Pulse]]] = {
    "±2 to ±700 mV, 0.1 to 2 ms": [
        Pulse(sign * mv, width_s)
        for sign, mv, width_s in product((1, -1), (2.0, 20.0, 700.0), (0.0001, 0.0005, 0.002))
    ],
    "±2 to ±700 mV, 0.5 to 2 ms, overshoot a quarter, at most 2 mV": [
        Pulse(sign * mv, width_s, min(2.0, 0.25 * mv), tau_s)
        for sign, mv, width_s, tau_s in product(
            (1, -1), (2.0, 700.0), (0.0005, 0.002), (0.004, 0.03, 0.1)
        )
    ],
    "±0.5 to ±5 mV, 6 to 10 ms, behind a filter": [
        Pulse(sign * mv, width_s, filtered=True)
        for sign, mv, width_s in product((1, -1), (0.5, 1.0, 5.0), (0.006, 0.008, 0.01))
    ],
    "±0.5 to ±5 mV, 6 to 10 ms, behind a filter, after-potential a fifth": [
        Pulse(sign * mv, width_s, 0.2 * mv, tau_s, filtered=True)
        for sign, mv, width_s, tau_s in product(
            (1, -1), (0.5, 1.0, 5.0), (0.006, 0.01), (0.004, 0.03, 0.1)
        )
    ],
}
"""The pacing pulses; of each kind the worst is reported."""


def pacing() -> Iterator[WaveformFigure]:
    """Pace a heart that answers, one that no longer does, and one that beats on its own."""
    for words, kind in PULSES.items():
        name = f"pacing pulses of {words}"
        answered = max(_effective(pulse) for pulse in kind)
        yield figure(f"{name}: effective", "beats missed or counted twice", answered, at_most=0)
        delays = [_ineffective(pulse) for pulse in kind]
        worst = None if None in delays else max(d for d in delays if d is not None)
        what = "asystole after the last QRS"
        yield figure(f"{name}: no capture", what, worst, "s", at_most=ALARM_WITHIN_S)
        missing = sum(d is None for d in delays)
        yield figure(f"{name}: no capture", f"of {len(kind)} without the alarm", missing, at_most=0)
        off = max(_over_slow_rhythm(pulse) for pulse in kind)
        what = "rate shown is off by"
        yield figure(f"{name}, over an own rhythm of 30 bpm", what, off, "bpm", at_most=5.0)


def _effective(pulse: Pulse) -> float:
    """Return how many of the beats that the pulses bring about are miscounted."""
    at_s, signal = steady(70.0, 30.0, VENTRICULAR)
    shown = run(30.0, signal, pulses(at_s - 0.1, pulse, 30.0, FS_HZ))
    return float(shown.miscounted(at_s, SETTLED_S, 29.0))


def _ineffective(pulse: Pulse) -> float | None:
    """Return when asystole is raised after the last QRS, and stays; None if it does not."""
    at_s = regular(70.0, 0.5, 16.0)
    paced_s = np.append(at_s, regular(70.0, at_s[-1] + 60.0 / 70.0, 40.0)) - 0.1
    signal = beating(at_s, 40.0, VENTRICULAR)
    shown = run(40.0, signal, pulses(paced_s, pulse, 40.0, FS_HZ))
    still = [a.state for _, a in shown.raised if a.kind == "asystole" and a.time_s < 39.0]
    return shown.raised_s(["asystole"], at_s[-1]) if still == ["on"] else None


def _over_slow_rhythm(pulse: Pulse) -> float:
    """Return by how much the rate is off, bpm, where pulses at 70/min go with QRS at 30/min."""
    _, signal = steady(30.0, 40.0)
    paced_s = regular(70.0, 0.2, 39.5)
    shown = run(40.0, signal, pulses(paced_s, pulse, 40.0, FS_HZ))
    off = abs(shown.rate_at(40.0) - 30.0)
    return np.inf if np.isnan(off) else off


TESTS: Final[tuple[Test, ...]] = (
    asystole, rates, changes, extreme_rates, qrs_sizes, t_waves, pacing, disturbances, irregular,
    tachycardia,
)  # fmt: skip

STEPS: Final = len(TESTS)
"""Steps of `evaluate_ec13`."""


def evaluate_ec13(
    on_step: Callable[[str], None] = lambda text: None,
) -> Iterator[WaveformFigure]:
    """Yield the figures of all test waveforms; ``on_step`` is called before each kind.

    Raises:
        ArtifactError: what ships is unusable.
    """
    for test in TESTS:
        on_step(test.__name__.replace("_", " "))
        yield from test()
