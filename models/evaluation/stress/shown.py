"""What the shipped system shows for a signal: alarms, beats, and the heart rate of its status."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from pipeline.schema.public import Alert
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import Scorer
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import score_beats
from pipeline.stream.session import StreamSession, SystemState
from pipeline.stream.stream import Stream, StreamUpdate

BLOCK_S: Final = 0.25
"""How often the shown rate is read."""

_WELL: Final = SystemState(scorers=1, redelivered=0, rejected_frames=0, log_behind=False, fault="")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a signal brought about."""

    seconds: float
    """Its length."""
    raised: list[tuple[float, Alert]]
    """Its alerts, and how much of the signal had been there when each came, seconds."""
    beats_s: NDArray[np.float64]
    """float64[b], where its beats are."""
    times_s: NDArray[np.float64]
    """float64[k], when the rate was read,"""
    bpm: NDArray[np.float64]
    """float64[k], and what it was; NaN where none was shown."""

    def raised_s(self, kinds: Collection[str], since_s: float) -> float | None:
        """Return how long after ``since_s`` the first alarm of ``kinds`` came; None if none did."""
        came = [
            now_s - since_s
            for now_s, alert in self.raised
            if alert.kind in kinds and alert.state == "on" and now_s >= since_s
        ]
        return min(came, default=None)

    def rate_at(self, time_s: float) -> float:
        """Return the rate that was shown last at a time; NaN for none."""
        return float(self.bpm[max(0, int(np.searchsorted(self.times_s, time_s, "right")) - 1)])

    def settled_s(self, bpm: float, tolerance: float, since_s: float) -> float | None:
        """Return from when on, after ``since_s``, the rate was within ``tolerance`` of ``bpm``."""
        away = ~(np.abs(self.bpm - bpm) <= tolerance)
        away[self.times_s < since_s] = True
        first = int(np.flatnonzero(away)[-1]) + 1 if away.any() else 0
        return None if first == away.size else float(self.times_s[first] - since_s)

    def miscounted(self, beats_s: NDArray[np.float64], since_s: float, until_s: float) -> int:
        """Return how many of ``beats_s`` were missed, and of others counted, within 150 ms."""
        true = beats_s[(beats_s >= since_s) & (beats_s < until_s)]
        found = self.beats_s[(self.beats_s >= since_s - 0.15) & (self.beats_s < until_s + 0.15)]
        apart = np.abs(found[:, None] - true[None, :])
        missed = int(np.sum(apart.min(axis=0, initial=np.inf) > 0.15))
        extra = found[(found >= since_s) & (found < until_s)]
        near = np.abs(extra[:, None] - beats_s[None, :]).min(axis=1, initial=np.inf)
        return missed + int(np.sum(near > 0.15))


@cache
def _shipped() -> tuple[Scorer, LiveScoreConfig]:
    return load_scorer(device="cpu"), load_calibration()


def run_shown(samples: NDArray[np.float64], fs_hz: float) -> Shown:
    """Run a signal, float64[n] in mV, through the stream as it arrives, 0.25 s at a time.

    Raises:
        ArtifactError: what ships is unusable.
    """
    scorer, config = _shipped()
    now = 0.0
    stream = Stream("ec13", fs_hz, config, lambda: now)
    session = StreamSession(stream, "II", now)
    raised: list[tuple[float, Alert]] = []
    beats: list[int] = []
    times: list[float] = []
    rates: list[float] = []

    def absorb(taken: StreamUpdate) -> None:
        raised.extend((now, alert) for alert in taken.alerts)
        score_beats(stream, taken.windows, scorer)
        for report in stream.drain():
            raised.extend((now, alert) for alert in report.alerts)
            beats.append(report.note.sample)

    blocks = in_blocks(samples.astype(np.float32), round(BLOCK_S * fs_hz))
    for block in blocks:
        now = (block.first_sample + block.samples.size) / fs_hz
        session.arrived_at = now
        absorb(stream.take(block))
        bpm = session.status(now, _WELL).bpm
        times.append(now)
        rates.append(np.nan if bpm is None else bpm)
    absorb(stream.finish())
    return Shown(
        samples.size / fs_hz,
        raised,
        np.array(beats, dtype=np.float64) / fs_hz,
        np.array(times),
        np.array(rates),
    )
