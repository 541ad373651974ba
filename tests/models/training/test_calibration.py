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

from models.data.mitdb import DS1, DS1A, RECORDS
from models.files.calibration import (
    SHIPPED_CALIBRATION,
    Calibration,
    load_calibration,
    save_calibration,
)
from models.files.student import SHIPPED_STUDENT, load_student
from models.inference.student import ScoredWindows
from models.training.calibration import (
    FALSE_ALERTS_PER_HOUR,
    RATES_PER_HOUR,
    calibrate,
    false_alerts,
)
from pipeline.alarms.beat_rules import BeatAlarms
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine, AlarmStateMachineState
from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import ArtifactError, ConfigError, InputError
from replay.records import write_beats
from replay.synthetic import PatientConfig, SyntheticPatient
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


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 44 records by name: two minutes each of four synthetic patients with ectopics."""
    folder = tmp_path_factory.mktemp("data")
    patients = [
        SyntheticPatient(PatientConfig(ectopic=0.1, sve=0.05, noise=0.05, seed=seed)).generate(
            MINUTES * 60 * 360
        )
        for seed in range(4)
    ]
    for n, name in enumerate(RECORDS):
        patient = patients[n % 4]
        np.round(200 * patient.samples).astype("<i2").tofile(folder / f"{name}.dat")
        (folder / f"{name}.hea").write_text(
            f"{name} 1 360 {patient.samples.size}\n{name}.dat 16 200/mV 16 0 0 0 0 MLII\n"
        )
        write_beats(folder, name, "atr", patient.beats, patient.symbols, 360)
    return folder


@pytest.fixture(scope="module")
def calibration(data: Path) -> Calibration:
    """The calibration of two rough scorers."""
    return calibrate(data, RoughScorer(), RoughScorer(), lambda _: None)


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


def test_each_half_is_scored_by_the_student_of_the_other(data: Path) -> None:
    """No beat is scored by a student that has seen its patient."""
    a, b = RoughScorer(), RoughScorer()
    expected = dict.fromkeys((True, False), 0)

    def on_step(text: str) -> None:
        expected[text.removeprefix("record ") in DS1A] += 1

    found = calibrate(data, a, b, on_step)

    assert expected == {True: 11, False: 11}
    assert a.seen > 0
    assert b.seen > 0
    assert a.seen + b.seen >= sum(found.beats.values())
    assert found.records == DS1


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
        lambda c: c.update(format=1),
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
        calibrate(tmp_path, RoughScorer(), RoughScorer(), lambda _: None)


def test_what_ships_fits_the_student_that_ships() -> None:
    """The calibration in the package was made for the weights in the package."""
    assert load_calibration().threshold > 0
    stored = json.loads(SHIPPED_CALIBRATION.read_text())
    assert stored["weights_sha256"] == load_student(SHIPPED_STUDENT).sha256
