"""How the stream stands noise of known strength: the noise stress test.

The noise of the MIT-BIH Noise Stress Test Database (baseline wander ``bw``, electrode motion
``em``, muscle ``ma``) is added to the records 118 and 119, of which that database itself was made
(`models.evaluation.stress.noise`), and the result goes through the live stream
(`pipeline.stream.embedded`). Beats are counted as ``bxb`` does, after five minutes, noisy and clean
parts together; beside that, what remains if everything is withdrawn that was found where the stream
said that it could not analyse the signal, with the beats of those stretches left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.ec57.annotators import Score
from models.ec57.bxb import BeatComparison, compare_beats
from models.ec57.matching import ANOMALOUS, LEARNING_S, classes_of, match_beats, match_samples
from models.evaluation.stress.noise import (
    NORMAL_QRS,
    add_noise,
    noise_amplitude,
    noise_gain,
    noisy_parts,
    signal_amplitude,
)
from models.files.student_artifact import SHIPPED_STUDENT, load_artifact
from models.inference.student import StudentScorer
from models.training.calibration import load_calibration
from pipeline.alarms.settings import AlarmSettings
from pipeline.errors import InputError
from pipeline.schema.public import Alert
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.scoring.protocols import Scorer
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.annotations import Annotations, read_annotations, read_beats
from replay.headers import quoted
from replay.records import read_lead

RECORDS: Final = ("118", "119")
NOISES: Final = ("bw", "em", "ma")
SNRS_DB: Final = (24, 18, 12, 6, 0, -6)

_JUDGED: Final = ("anomalous_beat", "asystole")
"""Alarms that the reference beats alone can tell true or false."""

_BLOCK_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What the stream told of one record."""

    found: NDArray[np.int64]
    """R peaks, int64[b]."""
    blind: list[tuple[int, int]]
    """First sample and end of the stretches called not analysable."""
    alerts: list[Alert]
    """Those of anomalous beats and of asystole that were raised."""


def hear(
    samples: NDArray[np.float32], fs_hz: float, scorer: Scorer, config: LiveScoreConfig
) -> Received:
    """Return what the live stream tells of a signal, float32[n] in mV."""
    blocks = in_blocks(samples, round(_BLOCK_S * fs_hz))
    runner = EmbeddedRunner("noise", fs_hz, scorer, config)
    found: list[int] = []
    alerts: list[Alert] = []
    for outcome in runner.run(blocks):
        found += [note.sample for note in outcome.beats]
        alerts += outcome.alerts
    technical = [alert for alert in alerts if alert.kind in ("not_analysable", "lead_off")]
    edges = {"on": [a.sample for a in technical if a.state == "on"]}
    edges["off"] = [a.sample for a in technical if a.state == "off"]
    edges["off"] += [samples.size] * (len(edges["on"]) - len(edges["off"]))
    return Received(
        found=np.array(found, dtype=np.int64),
        blind=list(zip(edges["on"], edges["off"], strict=True)),
        alerts=[a for a in alerts if a.kind in _JUDGED and a.state == "on"],
    )


def withdrawn(heard: Received, fs_hz: float) -> Annotations:
    """Return what was found, as an annotator that is shut down where it could not analyse.

    Its detections there are withdrawn, and EC57 counts the beats of the reference apart (X).
    """
    kept = np.ones(heard.found.size, dtype=bool)
    for first, end in heard.blind:
        kept &= (heard.found < first) | (heard.found >= end)
    beats = heard.found[kept]
    marks = np.array([at for stretch in heard.blind for at in stretch], dtype=np.int64)
    sample = np.concatenate((beats, marks))
    # A stretch may begin where the one before ends: the end comes first, then stays shut down.
    order = np.argsort(sample, kind="stable")
    symbol = np.array(["N"] * beats.size + ["~"] * marks.size)
    subtype = np.concatenate(
        (np.zeros(beats.size, dtype=np.int64), np.tile([_SHUT_DOWN, 0], len(heard.blind)))
    ).astype(np.int64)
    return Annotations(
        sample=sample[order],
        symbol=symbol[order].tolist(),
        subtype=subtype[order],
        aux_note=[""] * sample.size,
        fs=fs_hz,
    )


_SHUT_DOWN: Final = 0x30
"""Subtype of ``~`` from which on an annotator says that the signal is unreadable."""


def false_alerts(
    heard: Received, annotated: NDArray[np.int64], classes: NDArray[np.str_], fs_hz: float
) -> int:
    """Return how many alerts on the heart after the learning period are wrong.

    Args:
        heard: what the stream told.
        annotated: positions of the beats of the reference, int64[n].
        classes: of these beats, str[n], of `models.ec57.matching.CLASSES`.
        fs_hz: samples a second.

    An alert of anomalous beats is wrong where the first of them is normal or no beat, one of an
    asystole where the reference has a beat in the time without.
    """
    pairs = match_beats(annotated, heard.found, match_samples(fs_hz))
    of_found = {int(heard.found[j]): classes[i] for i, j in enumerate(pairs) if j >= 0}
    wrong = 0
    for alert in heard.alerts:
        if alert.sample < LEARNING_S * fs_hz:
            continue
        if alert.kind == "anomalous_beat":
            wrong += of_found.get(alert.sample) not in ANOMALOUS
        else:
            since = alert.sample - AlarmSettings().asystole_s * fs_hz
            wrong += bool(((annotated > since) & (annotated <= alert.sample)).any())
    return wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What one record, or several together, came to."""

    hours: float
    """Counted time."""
    matrix: NDArray[np.int64]
    """As in `models.ec57.bxb.BeatComparison`, of all that was found."""
    analysable: NDArray[np.int64]
    """The same without what was found where the signal was not analysable."""
    noisy_s: float
    blind_s: float
    """How much of the noisy time was called not analysable."""
    alerts: int
    """On the heart, after the learning period."""
    false_alerts: int

    def __add__(self, other: "Count") -> "Count":
        """Return both together."""
        return Count(**{name: getattr(self, name) + getattr(other, name) for name in _COUNTED})

    def figures(self) -> dict[str, Any]:
        """Return what is told of it, JSON-able; shares in %."""
        score = _score(self.matrix, self.matrix[:5, 5:])
        return {
            "hours": self.hours,
            "qrs": _told(score),
            "false_detections_per_hour": score.fp / self.hours,
            "analysable": _told(_score(self.analysable, self.analysable[:5, 5])),
            "not_analysable": 100.0 * self.blind_s / self.noisy_s,
            "alerts": self.alerts,
            "false_alerts": self.false_alerts,
            "false_alerts_per_hour": self.false_alerts / self.hours,
        }


_COUNTED: Final = tuple(Count.__dataclass_fields__)


def _score(matrix: NDArray[np.int64], missed: NDArray[np.int64]) -> Score:
    right = int(matrix[:5, :5].sum())
    return Score(right, int(missed.sum()), right, int(matrix[5:, :5].sum()))


def _told(score: Score) -> dict[str, float | None]:
    return {
        **score._asdict(),
        "sensitivity": score.sensitivity,
        "positive_predictivity": score.positive_predictivity,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRecord:
    """A record without noise, and what is true of it."""

    samples: NDArray[np.float32]
    fs_hz: float
    reference: Annotations
    beats: NDArray[np.int64]
    classes: NDArray[np.str_]
    amplitude_mv: float
    """Peak to peak, of a normal QRS."""


def read_clean(path: Path) -> CleanRecord:
    """Return the first lead of a record with its annotations.

    Raises:
        InputError: the record cannot be used, is shorter than the learning period, or has no
            normal QRS.
    """
    info, samples = read_lead(path, 0)
    if samples.size <= LEARNING_S * info.fs_hz:
        raise InputError(
            f"record {quoted(path)} has no noisy part: it ends within {LEARNING_S:g} s; use another"
        )
    beats, symbols = read_beats(path, lead=0)
    normal = beats[[symbol in NORMAL_QRS for symbol in symbols]]
    try:
        amplitude = signal_amplitude(samples, normal, info.fs_hz)
    except ValueError:
        raise InputError(
            f"record {quoted(path)} has no normal QRS to measure; use another"
        ) from None
    return CleanRecord(
        samples=samples,
        fs_hz=info.fs_hz,
        reference=read_annotations(path, "atr", fs_hz=info.fs_hz),
        beats=beats,
        classes=classes_of(symbols),
        amplitude_mv=amplitude,
    )


def count(
    record: CleanRecord, samples: NDArray[np.float32], scorer: Scorer, config: LiveScoreConfig
) -> Count:
    """Return what the stream makes of a record in the form ``samples``, float32[n] in mV."""
    fs_hz = record.fs_hz
    heard = hear(samples, fs_hz, scorer, config)
    all_found = Annotations(
        sample=heard.found,
        symbol=["N"] * heard.found.size,
        subtype=np.zeros(heard.found.size, dtype=np.int64),
        aux_note=[""] * heard.found.size,
        fs=fs_hz,
    )
    parts = noisy_parts(samples.size, fs_hz)

    def compared(found: Annotations) -> BeatComparison:
        return compare_beats(record.reference, found, fs_hz, samples.size)

    return Count(
        hours=(samples.size / fs_hz - LEARNING_S) / 3600.0,
        matrix=compared(all_found).matrix,
        analysable=compared(withdrawn(heard, fs_hz)).matrix,
        noisy_s=sum(end - first for first, end in parts) / fs_hz,
        blind_s=sum(
            max(0, min(end, until) - max(first, since))
            for first, end in parts
            for since, until in heard.blind
        )
        / fs_hz,
        alerts=sum(alert.sample >= LEARNING_S * fs_hz for alert in heard.alerts),
        false_alerts=false_alerts(heard, record.beats, record.classes, fs_hz),
    )


def evaluate_noise(
    data: Path, *, on_step: Callable[[str], None] = lambda text: None
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each record and, after each ratio, of all of them together.

    First without noise (``noise`` and ``snr_db`` None), then for each noise from the weakest to
    the strongest; ``record`` is None in the lines of all records. The alerts are those of the
    student and the calibration that ship.

    Args:
        data: folder that holds ``mitdb/`` and ``nstdb/``.
        on_step: called before each run: `STEPS` times.

    Raises:
        InputError: a record is missing or unusable, or its rate is not that of the noise.
        ArtifactError: what ships is unusable.
    """
    scorer, config = StudentScorer(load_artifact(SHIPPED_STUDENT), device="cpu"), load_calibration()
    records = {name: read_clean(data / "mitdb" / name) for name in RECORDS}
    noises = {name: read_lead(data / "nstdb" / name, 0) for name in NOISES}
    for name, (info, _) in noises.items():
        for record in records.values():
            if record.fs_hz != info.fs_hz:
                raise InputError(
                    f"noise {quoted(name)} has {info.fs_hz:g} Hz, the records {record.fs_hz:g} Hz: "
                    "they must be equal"
                )

    def lines(noise: str | None, snr_db: int | None) -> Iterator[dict[str, Any]]:
        counts = []
        for name, record in records.items():
            on_step(f"{name} clean" if noise is None else f"{name} {noise} {snr_db} dB")
            samples = record.samples
            if noise is not None and snr_db is not None:
                added = noises[noise][1]
                noise_mv = noise_amplitude(added, record.fs_hz)
                gain = noise_gain(snr_db, record.amplitude_mv, noise_mv)
                samples = add_noise(samples, added, gain, record.fs_hz)
            counts.append(count(record, samples, scorer, config))
            yield {"record": name, "noise": noise, "snr_db": snr_db, **counts[-1].figures()}
        total = counts[0]
        for one in counts[1:]:
            total += one
        yield {"record": None, "noise": noise, "snr_db": snr_db, **total.figures()}

    yield from lines(None, None)
    for noise in NOISES:
        for snr_db in SNRS_DB:
            yield from lines(noise, snr_db)


STEPS: Final = len(RECORDS) * (1 + len(NOISES) * len(SNRS_DB))
"""Runs of `evaluate_noise`."""
