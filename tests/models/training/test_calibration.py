"""The calibration: what is stored, what is refused, and the rate that a threshold gives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.data.cinc17 import LABELS
from models.data.mitdb import DATABASE, DS1, DS1A, RECORDS
from models.data.streamed_beats import FoundBeats, Models, decide, follow, stream_beats
from models.data.training_beats import CINC17, SVDB
from models.files.calibration import (
    SHIPPED_CALIBRATION,
    Calibration,
    load_calibration,
    save_calibration,
)
from models.files.student import SHIPPED_STUDENT, load_student
from models.inference.beat_classifier import BeatClassifier
from models.inference.student import ScoredWindows
from models.training.calibration import (
    FALSE_ALERTS_PER_HOUR,
    LEARNING_SHARE,
    RATES_PER_HOUR,
    Scorers,
    calibrate,
    calibration_records,
    false_alerts,
    half_scorer,
    scores_of,
)
from pipeline.alarms.beat_rules import BeatAlarms
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine, AlarmStateMachineState
from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import ArtifactError, ConfigError, InputError
from pipeline.scoring.live_score import COMPONENTS, LEARNING_BEATS, LiveScoreConfig, Scale
from replay.devices.synthetic import PatientConfig, Signal, SyntheticPatient
from replay.records import write_beats
from tests.pipeline.scoring.test_live_score import ectopic, normal
from tests.support.episodes import beat_at

MINUTES = 2


class RoughScorer:
    """Scores a window by how far its end lies from its beginning; notes how many it saw."""

    def __init__(self) -> None:
        self.seen = 0

    def score(self, windows: NDArray[np.float32]) -> ScoredWindows:
        """Score float32[B, 320]."""
        self.seen += len(windows)
        scores = np.abs(windows[:, 200] - windows[:, 20]) + np.float32(0.01)
        residuals = np.zeros((len(windows), WINDOW_SAMPLES), "f4")
        return ScoredWindows(scores=scores, residuals=residuals)


class RoughClassifier(BeatClassifier):
    """Takes a beat for V by how far its window's end lies from its beginning."""

    def __init__(self) -> None:
        """Need no trees and no network."""

    def probabilities(
        self, windows: NDArray[np.float32], measures: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return probabilities of N and V."""
        found = np.zeros((len(windows), 4), dtype=np.float32)
        found[:, 2] = np.clip(np.abs(windows[:, 200] - windows[:, 20]), 0.05, 0.95)
        found[:, 0] = 1 - found[:, 2]
        return found


class Rough:
    """Scorers of every kind; knows which record was named by a classifier without it."""

    def __init__(self) -> None:
        self.half_a, self.half_b, self.student = RoughScorer(), RoughScorer(), RoughScorer()
        self.named: list[str] = []

    def unseen(self, record: str) -> BeatClassifier:
        """Return the classifier for a record."""
        self.named.append(record)
        return RoughClassifier()

    @property
    def scorers(self) -> Scorers:
        """All of them."""
        return Scorers(self.half_a, self.half_b, self.student, self.unseen)


def write_record(path: Path, patient: Signal) -> None:
    """Write a patient as a record with annotations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.round(200 * patient.samples).astype("<i2").tofile(path.with_suffix(".dat"))
    path.with_suffix(".hea").write_text(
        f"{path.name} 1 360 {patient.samples.size}\n{path.name}.dat 16 200/mV 16 0 0 0 0 MLII\n"
    )
    write_beats(path.parent, path.name, "atr", patient.beats, patient.symbols, 360)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The databases by name: two minutes each of synthetic patients with ectopics, or healthy."""
    folder = tmp_path_factory.mktemp("data")
    patients = [
        SyntheticPatient(PatientConfig(ectopic=0.1, sve=0.05, noise=0.05, seed=seed)).generate(
            MINUTES * 60 * 360
        )
        for seed in range(4)
    ]
    healthy = SyntheticPatient(PatientConfig(noise=0.05, seed=9)).generate(60 * 360)
    for n, name in enumerate(RECORDS):
        write_record(folder / DATABASE / name, patients[n % 4])
    for n, name in enumerate(("800", "801")):
        write_record(folder / SVDB / name, patients[n])
    for label in LABELS:
        write_record(folder / CINC17 / label / "A1", healthy)
    return folder


@pytest.fixture(scope="module")
def calibration(data: Path) -> Calibration:
    """The calibration of rough scorers."""
    return calibrate(data, Rough().scorers, lambda _: None)


@pytest.fixture
def stored(calibration: Calibration, tmp_path: Path) -> Path:
    """A calibration on disk, made for the student that ships."""
    path = tmp_path / "live_score.json"
    save_calibration(calibration, path)
    return path


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit a stored calibration."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_no_beat_is_scored_by_what_has_seen_its_patient(data: Path) -> None:
    """Each half of DS1 has the student of the other, each record a classifier without it."""
    rough = Rough()
    steps: list[str] = []

    found = calibrate(data, rough.scorers, steps.append)

    assert steps == [f"{database} {name}" for database, name in calibration_records(data)]
    assert rough.named == [*DS1, "800", "801", "normal/A1"]
    assert found.records == {DATABASE: DS1, SVDB: ("800", "801"), CINC17: ("normal/A1",)}
    counted = {True: 0, False: 0}
    for name in DS1:
        counted[name in DS1A] += 1
    assert counted == {True: 11, False: 11}
    seen = [one.seen for one in (rough.half_a, rough.half_b, rough.student)]
    assert min(seen) > 0
    # The beats of the annotated databases are counted, those of the healthy are not.
    assert seen[0] + seen[1] < sum(found.beats.values()) < sum(seen)


def test_the_student_of_a_half_is_that_of_the_half() -> None:
    """One that was trained on all of DS1 may have seen the patients that it would score."""
    with pytest.raises(ArtifactError, match="--split ds1a"):
        half_scorer(SHIPPED_STUDENT, "ds1a")


def test_few_beats_of_healthy_people_are_anomalous_at_first(
    data: Path, calibration: Calibration
) -> None:
    """Of beats scored while nothing is known of the patient one in a hundred, at the default."""
    rates = [row.false_alerts_per_hour for row in calibration.thresholds]
    default = calibration.thresholds[rates.index(FALSE_ALERTS_PER_HOUR)]
    config = LiveScoreConfig(
        scales=calibration.scales,
        threshold=default.threshold,
        learning_threshold=default.learning_threshold,
    )
    models = Models(RoughScorer(), config)
    beats = stream_beats(data / CINC17 / "normal" / "A1", models)
    known = beats.analysable
    probabilities = np.full((known.size, 4), np.nan, dtype=np.float32)
    probabilities[known] = RoughClassifier().probabilities(
        beats.windows[known], beats.measures[known]
    )
    found = decide(beats, probabilities, config)

    first = beats.learning & known
    assert first.sum() >= LEARNING_BEATS
    assert found.anomalous[first].mean() <= LEARNING_SHARE + 1 / first.sum()
    # The highest of so few beats is just below, or at, the threshold.
    assert found.score[first].max() == pytest.approx(default.learning_threshold, abs=1.0)


def test_scores_are_those_of_the_live_score_where_a_tachycardia_is_not_learned() -> None:
    """Beats of the stretch, and those that cannot be analysed, change nothing that is typical."""
    rng = np.random.default_rng(3)
    windows = [normal(rng) for _ in range(60)]
    windows += [ectopic(rng) for _ in range(60)]
    windows += [normal(rng) for _ in range(30)]
    rr_s = np.repeat([0.8, 0.4, 0.8], (60, 60, 30))
    usable = np.arange(150) % 40 != 30
    # Of such wide scales even a tachycardia is ordinary.
    config = LiveScoreConfig(
        scales={name: Scale(median=-5.0, p95=5.0) for name in COMPONENTS},
        threshold=4.0,
        learning_threshold=4.0,
    )

    beats = follow(
        np.array([360.0, 43_200.0]),
        FoundBeats(
            np.arange(150) * 288,
            rr_s,
            np.stack(windows).astype(np.float32)[None],
            usable[None],
            np.zeros(150, dtype=np.int64),
        ),
        Models(RoughScorer(), config),
    )
    found = scores_of(beats.raw, beats.learning, beats.held, config.scales)

    assert beats.held[60:120].sum() > 40
    np.testing.assert_allclose(found, beats.score, atol=1e-9)
    learned = scores_of(beats.raw, beats.learning, np.zeros(150, dtype=bool), config.scales)
    assert np.abs(learned - beats.score)[usable].max() > 0.1


def test_a_rate_is_what_the_normal_beats_make_of_it(calibration: Calibration) -> None:
    """More false alerts an hour: a threshold at most as high, and at least as many found."""
    rows = calibration.thresholds

    assert [row.false_alerts_per_hour for row in rows] == list(RATES_PER_HOUR)
    for values in (
        [row.threshold for row in rows],
        [row.learning_threshold for row in rows],
    ):
        assert values == sorted(values, reverse=True)
    for symbol in "SV":
        found = [row.sensitivity[symbol] for row in rows]
        assert found == sorted(found)


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans(), st.booleans()), max_size=60))
def test_false_alerts_are_those_that_the_stream_raises(
    rows: list[tuple[float, bool, bool]],
) -> None:
    """Counted at once or by `pipeline.alarms.beat_rules`, beat by beat: the same."""
    times_s = np.round(np.cumsum([apart for apart, _, _ in rows]), 3)
    anomalous = np.array([one for _, one, _ in rows], dtype=bool)
    false = np.array([one for _, _, one in rows], dtype=bool)
    alarms = BeatAlarms(
        AlarmStateMachine("s", 1000.0, AlarmSettings(), AlarmStateMachineState(1, 1)),
        1000.0,
        AlarmSettings(),
    )
    expected = 0
    for time_s, one_anomalous, one_false in zip(times_s, anomalous, false, strict=True):
        raised = alarms.on_beat(beat_at(round(time_s * 1000), anomalous=bool(one_anomalous)))
        expected += bool(one_false) * sum(alert.state == "on" for alert in raised)

    assert false_alerts(anomalous, times_s, false) == expected


def test_what_is_stored_is_loaded_for_the_rate_asked_for(stored: Path) -> None:
    """Stored rates give their threshold, the one between lies between, none means the default."""
    rows = {
        row["false_alerts_per_hour"]: row for row in json.loads(stored.read_text())["thresholds"]
    }
    for rate, row in rows.items():
        config = load_calibration(stored, false_alerts_per_hour=rate)
        assert config.threshold == pytest.approx(row["threshold"])
        assert config.learning_threshold == pytest.approx(row["learning_threshold"])

    between = load_calibration(stored, false_alerts_per_hour=10.0).threshold
    assert rows[12.0]["threshold"] <= between <= rows[8.0]["threshold"]
    default = load_calibration(stored)
    assert default == load_calibration(stored, false_alerts_per_hour=FALSE_ALERTS_PER_HOUR)


@pytest.mark.parametrize("rate", [0.5, 31.0, -1.0, float("inf"), float("nan")])
def test_a_rate_out_of_the_calibrated_range_is_refused(stored: Path, rate: float) -> None:
    """The error names the range of rates."""
    with pytest.raises(ConfigError, match="choose 1 to 30"):
        load_calibration(stored, false_alerts_per_hour=rate)


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c.update(format=3),
        lambda c: c.update(thresholds=[]),
        lambda c: c.update(thresholds=c["thresholds"][::-1]),
        lambda c: c["thresholds"][0].update(threshold=float("nan")),
        lambda c: c["thresholds"][0].pop("threshold"),
        lambda c: c["thresholds"][0].update(false_alerts_per_hour=0),
        lambda c: c["scales"].pop("own"),
        lambda c: c["scales"]["own"].update(p95=-1e9),
        lambda c: c.update(weights_sha256="0" * 64),
        lambda c: c.update(scales=3),
        lambda c: c.update(more=1),
        lambda c: c["thresholds"][0].update(more=1),
    ],
)
def test_a_calibration_that_is_none_is_refused(
    stored: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    """Another format, other weights or missing parts: one clear line, never a wrong threshold."""
    change(stored, edit)
    with pytest.raises(ArtifactError, match="calibrate again"):
        load_calibration(stored)


def test_missing_records_are_named(tmp_path: Path) -> None:
    """Without the database the error names the records and how to fetch them."""
    with pytest.raises(InputError, match="monitor fetch mitdb"):
        calibrate(tmp_path, Rough().scorers, lambda _: None)


def test_what_ships_fits_the_student_that_ships() -> None:
    """The calibration in the package was made for the weights in the package."""
    assert load_calibration().threshold > 0
    stored = json.loads(SHIPPED_CALIBRATION.read_text())
    assert stored["weights_sha256"] == load_student(SHIPPED_STUDENT).sha256
