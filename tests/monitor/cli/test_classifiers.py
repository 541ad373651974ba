"""The commands that train classifiers: on whom, into which folder, and what is refused first."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import models.data.training_beats as data
import models.evaluation.protocols.beats as protocol
import models.experiments.beat_folds as folds
import models.training.beat_classifier as training
from models.data.mitdb import DATABASE
from models.data.training_beats import DATABASES, TrainingRecord
from models.evaluation.protocols.beats import BeatsResult
from models.files.student import SHIPPED_STUDENT
from models.inference.beat_classifier import Unseen
from models.measure.provenance import provenance
from models.training.beat_classifier import BeatClassifierConfig, ClassifierParts
from monitor.cli import app as cli
from tests.support.classifiers import network, stumps, training_record

pytestmark = pytest.mark.system

RECORDS = [training_record("101", "NSVF")]


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["monitor", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    ("options", "expected"), [([], DATABASES), (["--ds1"], (DATABASE,))], ids=["all", "ds1"]
)
def test_the_classifier_is_trained_on_all_patients_or_on_ds1(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    options: list[str],
    expected: Sequence[str],
) -> None:
    """The files of trees and network go to the folder, their names to stdout."""
    asked: list[Sequence[str]] = []
    configs: list[BeatClassifierConfig] = []

    def names(_: Path, databases: Sequence[str]) -> dict[str, tuple[str, ...]]:
        asked.append(databases)
        return dict.fromkeys(databases, ("101",))

    def fit(
        records: list[TrainingRecord],
        names: dict[str, tuple[str, ...]],
        config: BeatClassifierConfig,
        _: object,
    ) -> ClassifierParts:
        assert records == RECORDS
        configs.append(config)
        return ClassifierParts(stumps(names), network(names))

    monkeypatch.setattr(data, "record_names", names)
    monkeypatch.setattr(data, "training_records", lambda *_: RECORDS)
    monkeypatch.setattr(training, "fit", fit)
    out = tmp_path / "classifier"
    code = exit_code(
        monkeypatch,
        *("train", "classifier", "--data", str(tmp_path), "--out", str(out)),
        *("--seed", "3", "--device", "cpu", *options),
    )

    assert (code, asked) == (0, [expected])
    assert capsys.readouterr().out.splitlines() == [
        str(out / name) for name in ("beat_trees.json", "classifier.json")
    ]
    assert (configs[0].trees.seed, configs[0].network.seed) == (3, 3)
    assert configs[0].network.folder == out


def test_beats_are_named_by_the_classifiers_of_the_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`evaluate beats --folder` hands them to the protocol."""

    def classifiers(_: Path, config: BeatClassifierConfig, folder: Path, *__: object) -> Unseen:
        assert folder == config.network.folder == tmp_path / "folds"
        return unseen

    def unseen(name: str) -> object:
        raise AssertionError(name)

    def evaluate(
        _: Path,
        given: Unseen,
        *,
        leads: str | None,
        cache: Path | None,
        on_step: Callable[[str], None],
    ) -> BeatsResult:
        assert given is unseen
        assert leads == "all"
        assert cache is None
        return BeatsResult(counting=["by hand"], databases={}, healthy=None, machine=provenance())

    monkeypatch.setattr(data, "record_names", lambda *_: {})
    monkeypatch.setattr(folds, "classifiers_without", classifiers)
    monkeypatch.setattr(protocol, "evaluation_steps", lambda *_: 1)
    monkeypatch.setattr(protocol, "evaluate_beats", evaluate)
    code = exit_code(
        monkeypatch,
        *("evaluate", "beats", "--data", str(tmp_path), "--folder", str(tmp_path / "folds")),
        *("--lead", "all"),
        "--json",
    )

    assert code == 0
    assert "by hand" in capsys.readouterr().out


def test_a_student_of_the_wrong_half_is_refused_before_any_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`train calibration` needs minutes for classifiers; what is wrong at once is said at once."""
    monkeypatch.setattr(data, "record_names", lambda *_: pytest.fail("records were looked for"))
    half = str(SHIPPED_STUDENT)
    code = exit_code(
        monkeypatch,
        *("train", "calibration", "--data", str(tmp_path), "--half-a", half, "--half-b", half),
    )

    assert code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--split ds1a" in error
