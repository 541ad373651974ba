"""A synthetic patient with beat annotations, and a live device that is made of one.

The signal follows the dynamical model of McSharry, Clifford, Tarassenko and Smith ("A dynamical
model for generating synthetic electrocardiogram signals", IEEE Trans. Biomed. Eng. 50(3), 2003):
on a limit cycle of phase p, each of the waves P, Q, R, S and T contributes
-a dp exp(-dp^2 / 2b^2) to dz/dt, and z decays with 1/s. Departures from the paper:

* Each beat is one cycle, placed by its R peak, and the contributions of beats add up (the equation
  is linear in z). So a premature beat is superimposed on the wave before it, and a pause is a flat
  line.
* The cycle lasts sqrt(RR x 1 s), as in the authors' later ECGSYN: the QRS keeps its width as the
  rate changes, and QT follows the rate by Bazett.
* Heights are given in mV, a = height / b^2, instead of scaling the finished signal. They are those
  in lead II: each wave is a dipole with a direction of its own, of which every lead sees a
  projection (`replay.lead_sets.waves`, `dipole`).

All randomness comes from the seed, and the result does not depend on how many samples are generated
at a time. Units: mV, seconds, Hz.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import ConfigError
from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.signal.samples import SampleBlock
from replay.lead_sets.dipole import LEAD_VECTORS, shares
from replay.lead_sets.troubles import NOISY_MV, LeadTrouble, exchanged, lost
from replay.lead_sets.waves import MORPHOLOGY
from replay.pacing import Pacer, wait_s
from replay.source import SourceInfo

PAUSE_S: Final = (2.5, 3.5)
LEAD_OFF_S: Final = (3.0, 8.0)
LEAD_OFF_LEVEL_MV: Final = 5.0
_REACH_S: Final = 2.0
"""No beat contributes further from its R peak: the longest cycle takes sqrt(3) s."""
_LIMITS: Final = {
    "bpm": (20.0, 250.0),
    "ectopic": (0.0, 0.5),
    "sve": (0.0, 0.5),
    "pause": (0.0, 0.5),
    "noise": (0.0, 5.0),
    "leadoff": (0.0, 10.0),
    "fs": (100.0, SAMPLING_RATE_LIMITS_HZ[1]),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientConfig:
    """The parameters of the patient; raises `ConfigError` for a value out of its limits."""

    leads: tuple[str, ...] = ("II",)
    """Of `LEAD_VECTORS`."""
    troubles: tuple[LeadTrouble, ...] = ()
    """Of single leads."""

    bpm: float = 72.0
    ectopic: float = 0.0
    """Probability that a beat is a ventricular ectopic, followed by a compensatory pause."""
    sve: float = 0.0
    """Probability that a beat is a supraventricular ectopic."""
    pause: float = 0.0
    """Probability that a beat comes only after 2.5 to 3.5 s."""
    noise: float = 0.02
    """Muscle noise, mV rms; the baseline wanders by twice as much."""
    leadoff: float = 0.0
    """Episodes a minute, on average, of an electrode that is off, and all leads with it; each lasts
    3 to 8 s."""
    fs: float = 360.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name}={value:g}: {low:g} to {high:g} is possible")
        if self.ectopic + self.sve + self.pause > 1:
            raise ConfigError("ectopic, sve and pause are probabilities: together at most 1")
        known = [lead for lead in self.leads if lead in LEAD_VECTORS]
        if not known or len(set(known)) < len(self.leads):
            raise ConfigError(f"leads: one or more of {', '.join(LEAD_VECTORS)}, no two alike")
        if not {name for t in self.troubles for name in (t.lead, t.other) if name} <= set(known):
            raise ConfigError("troubles: of the leads that are there")


class Signal(NamedTuple):
    """A stretch of a synthetic patient."""

    samples: NDArray[np.float32]
    """float32[n] of one lead, float32[leads, n] of several, mV."""
    flags: NDArray[np.uint8]
    """uint8 as the samples: `FLAG_LEAD_OFF` while the electrode is off."""
    beats: NDArray[np.int64]
    """Positions of the R peaks in II, int64, counted from the patient's first sample; none while
    all leads are off."""
    symbols: list[str]
    """WFDB symbols of the beats: N, A or V."""


class _Beat(NamedTuple):
    r_s: float
    symbol: str
    cycle_s: float


class Rhythm:
    """Draws beat after beat. ``script``: (seconds, "V" | "VV" | "A" | "pause"), sorted."""

    def __init__(
        self,
        config: PatientConfig,
        rng: np.random.Generator,
        script: Sequence[tuple[float, str]] = (),
    ) -> None:
        self._config = config
        self._rng = rng
        self._script = list(script)
        self._respiratory, self._mayer = rng.uniform(0, 2 * np.pi, 2)
        self._sinus_s = 0.4
        """When the sinus node fires next."""

    def next_beats(self) -> list[_Beat]:
        """Return the next beat, or the ectopic beats that come in its place, in order."""
        at_s, rr_s = self._sinus_s, self._sinus_interval_s(self._sinus_s)
        previous_s = at_s - rr_s
        cycle_s = float(np.sqrt(rr_s))
        event = self._event(at_s)
        if event in ("V", "VV"):
            beats = [
                _Beat(previous_s + (0.6 + 0.55 * i) * rr_s, "V", cycle_s) for i in range(len(event))
            ]
            # The sinus node is not reset: the sinus beat that is blocked makes the pause
            # compensatory.
            self._sinus_s = at_s + rr_s
            return beats
        if event == "A":
            early_s = previous_s + 0.62 * rr_s
            self._sinus_s = early_s + 1.05 * rr_s  # the ectopic resets the sinus node
            return [_Beat(early_s, "A", cycle_s)]
        if event == "pause":
            at_s = previous_s + self._rng.uniform(*PAUSE_S)
        self._sinus_s = at_s + rr_s
        return [_Beat(at_s, "N", cycle_s)]

    def _event(self, at_s: float) -> str:
        if self._script and self._script[0][0] <= at_s:
            return self._script.pop(0)[1]
        drawn = self._rng.random()
        for name, probability in (
            ("V", self._config.ectopic),
            ("A", self._config.sve),
            ("pause", self._config.pause),
        ):
            if drawn < probability:
                return name
            drawn -= probability
        return "N"

    def _sinus_interval_s(self, at_s: float) -> float:
        """Return RR with respiratory (0.25 Hz) and Mayer (0.1 Hz) variation, McSharry III.B."""
        respiratory = 0.03 * np.sin(2 * np.pi * 0.25 * at_s + self._respiratory)
        mayer = 0.02 * np.sin(2 * np.pi * 0.1 * at_s + self._mayer)
        jitter = 0.005 * self._rng.standard_normal()
        return float(60 / self._config.bpm * (1 + respiratory + mayer + jitter))


class Noise:
    """Muscle noise and a wandering baseline. Not thread-safe."""

    def __init__(self, config: PatientConfig, rng: np.random.Generator) -> None:
        from scipy import signal

        self._rms, self._fs, self._rng = config.noise, config.fs, rng
        band_hz = (20.0, min(100.0, 0.45 * config.fs))
        self._sos = signal.butter(2, band_hz, "bandpass", fs=config.fs, output="sos")
        gain = np.abs(signal.sosfreqz(self._sos, 4096)[1])
        self._muscle_scale = self._rms / np.sqrt(np.mean(gain**2))
        self._state = np.zeros((self._sos.shape[0], 2))
        self._wander_phase = rng.uniform(0, 2 * np.pi, 3)

    def make(self, first: int, n: int) -> NDArray[np.float64]:
        """Return the next ``n`` samples of noise, mV; ``first`` is the number of the first."""
        from scipy import signal

        white = self._rng.standard_normal(n)
        muscle, self._state = signal.sosfilt(self._sos, white, zi=self._state)
        t = np.arange(first, first + n) / self._fs
        wander = np.zeros(n)
        for hz, phase in zip((0.06, 0.17, 0.25), self._wander_phase, strict=True):
            wander += np.sin(2 * np.pi * hz * t + phase)
        noise: NDArray[np.float64] = self._muscle_scale * muscle
        noise += 2 * self._rms * np.sqrt(2 / 3) * wander
        return noise


class SyntheticPatient:
    """An endless ECG with its annotations. Not thread-safe."""

    def __init__(
        self, config: PatientConfig | None = None, script: Sequence[tuple[float, str]] = ()
    ) -> None:
        self.config = config or PatientConfig()
        leads, others = self.config.leads, len(LEAD_VECTORS)
        # Lead II has the noise of a patient who has no other: it is the same beside others.
        rhythm, noise, electrode, *more = (
            np.random.Generator(np.random.PCG64(seed))
            for seed in np.random.SeedSequence(self.config.seed).spawn(3 + 2 * others)
        )
        of_lead = dict(zip(LEAD_VECTORS, more[:others], strict=True)) | {"II": noise}
        self._rhythm = Rhythm(self.config, rhythm, script)
        self._noise = [Noise(self.config, of_lead[lead]) for lead in leads]
        bad = dict(zip(LEAD_VECTORS, more[others:], strict=True))
        self._bad = {
            lead: Noise(replace(self.config, noise=NOISY_MV), bad[lead])
            for lead in sorted({t.lead for t in self.config.troubles if t.kind == "noisy"})
        }
        self._shares = {
            wave: shares(wave.direction, leads)[:, None]
            for waves in MORPHOLOGY.values()
            for wave in waves
        }
        self._electrode = electrode
        self._next_off_s = self._draw_lead_off(0.0)
        self._off_until_s = 0.0
        self._beats: list[_Beat] = []
        self._z_mv = np.zeros((len(leads), 1))
        self._made = 0
        self._ready: list[Signal] = []

    def generate(self, n: int) -> Signal:
        """Return the next ``n`` samples with their flags and beats."""
        have = sum(part.samples.shape[-1] for part in self._ready)
        while have < n or not self._ready:
            self._ready.append(self._second())
            have += self._ready[-1].samples.shape[-1]
        joined = self._ready[0] if len(self._ready) == 1 else _joined(self._ready)
        first = self._made - have
        early = bisect_left(joined.beats, first + n)
        rest = Signal(
            joined.samples[..., n:],
            joined.flags[..., n:],
            joined.beats[early:],
            joined.symbols[early:],
        )
        self._ready = [rest] if rest.samples.size else []
        return Signal(
            joined.samples[..., :n],
            joined.flags[..., :n],
            joined.beats[:early],
            joined.symbols[:early],
        )

    def _second(self) -> Signal:
        """Generate about one second, the fixed unit in which all random numbers are drawn."""
        n, fs = round(self.config.fs), self.config.fs
        first, last = self._made, self._made + n
        while not self._beats or self._beats[-1].r_s < last / fs + _REACH_S:
            self._beats += self._rhythm.next_beats()
        leads, troubles, t = self.config.leads, self.config.troubles, np.arange(first, last) / fs
        noise = np.stack([one.make(first, n) for one in self._noise])
        z = exchanged(self._heart(first, n) + noise, t, leads, troubles)
        for lead, bad in self._bad.items():
            mine = [one for one in troubles if (one.kind, one.lead) == ("noisy", lead)]
            noisy = np.logical_or.reduce([one.during(t) for one in mine])
            z[leads.index(lead)] += np.where(noisy, bad.make(first, n), 0.0)
        off = lost(t, leads, troubles) | (self._lead_off(first, n) > 0)
        hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(first, last) / fs)
        z = np.where(off, LEAD_OFF_LEVEL_MV + hum, z)
        blind = np.logical_and.reduce(off)
        # An R peak may round to a sample outside the second in which it lies.
        visible = [(round(b.r_s * fs), b.symbol) for b in self._beats]
        visible = [(at, s) for at, s in visible if first <= at < last and not blind[at - first]]
        self._beats = [b for b in self._beats if b.r_s > last / fs - _REACH_S]
        self._made = last
        rows = 0 if len(leads) == 1 else slice(None)
        return Signal(
            z.astype(np.float32)[rows],
            np.where(off, np.uint8(FLAG_LEAD_OFF), np.uint8(0))[rows],
            np.array([at for at, _ in visible], dtype=np.int64),
            [symbol for _, symbol in visible],
        )

    def _heart(self, first: int, n: int) -> NDArray[np.float64]:
        """Return z of the model, float64[leads, n]: the sum over all beats in reach."""
        from scipy import signal

        step_s = 1 / self.config.fs
        t = (np.arange(first, first + n) - 0.5) * step_s  # midpoint rule
        drive = np.zeros((len(self.config.leads), n))
        for beat in self._beats:
            if beat.r_s - beat.cycle_s > t[-1] or beat.r_s + beat.cycle_s < t[0]:
                continue
            omega = 2 * np.pi / beat.cycle_s
            for wave in MORPHOLOGY[beat.symbol]:
                away = omega * (t - beat.r_s) - wave.phase
                bell = np.exp(-(away**2) / (2 * wave.width**2))
                height_mv = wave.height_mv * self._shares[wave]
                drive -= height_mv / wave.width**2 * away * bell * omega
        decay = np.exp(-step_s)
        z, _ = signal.lfilter([step_s], [1.0, -decay], drive, zi=decay * self._z_mv)
        self._z_mv = z[:, -1:]
        return np.asarray(z)

    def _lead_off(self, first: int, n: int) -> NDArray[np.uint8]:
        t = np.arange(first, first + n) / self.config.fs
        if self._next_off_s <= t[-1]:
            self._off_from_s = self._next_off_s
            self._off_until_s = self._next_off_s + self._electrode.uniform(*LEAD_OFF_S)
            self._next_off_s = self._draw_lead_off(self._off_until_s)
        if not self._off_until_s:
            return np.zeros(n, dtype=np.uint8)
        off = (t >= self._off_from_s) & (t < self._off_until_s)
        return np.where(off, np.uint8(FLAG_LEAD_OFF), np.uint8(0))

    def _draw_lead_off(self, after_s: float) -> float:
        if self.config.leadoff == 0:
            return float("inf")
        # At least a second between episodes, so that at most one begins in each second.
        return after_s + 1.0 + float(self._electrode.exponential(60 / self.config.leadoff))


def _joined(parts: list[Signal]) -> Signal:
    return Signal(
        np.concatenate([part.samples for part in parts], axis=-1),
        np.concatenate([part.flags for part in parts], axis=-1),
        np.concatenate([part.beats for part in parts]),
        [symbol for part in parts for symbol in part.symbols],
    )


class SyntheticSource:
    """A synthetic patient as an endless live device, in real time."""

    def __init__(
        self,
        config: PatientConfig,
        *,
        stream: str = "synthetic",
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = wait_s,
    ) -> None:
        self._stream = stream
        self._patient = SyntheticPatient(config)
        self._pacer = Pacer(config.fs, 1.0, clock=clock, wait=wait)
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """Return the stream's name and its leads, at the patient's rate."""
        config = self._patient.config
        return SourceInfo(stream=self._stream, fs_hz=config.fs, leads=config.leads)

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield 20 ms at a time, as they become due, until closed."""
        n, at = self._pacer.block_samples, 0
        while not self._closed:
            if not self._pacer.wait_for(at + n):
                yield None
                continue
            part = self._patient.generate(n)
            flags = part.flags if part.flags.any() else None
            yield SampleBlock(
                first_sample=at, samples=part.samples, flags=flags, stamp_s=time.time()
            )
            at += n

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing: past samples of a device are lost."""

    def close(self) -> None:
        """End `blocks` at its next step."""
        self._closed = True
