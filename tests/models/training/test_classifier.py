"""Training the classifier: the beats of an epoch, exact resumption, the written files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.detected_beats import detect_beats
from models.data.training_beats import (
    FIBRILLATION,
    NORMAL_RHYTHM,
    OTHER_VIEW,
    STREAM,
    TrainingRecord,
)
from models.files.classifier import load_classifier, save_classifier
from models.inference.classifier import ClassifierScorer
from models.training.beat_classifier import BeatClassifierConfig, fit
from models.training.beat_trees import BeatTreesConfig
from models.training.checkpoint import read_checkpoint
from models.training.classifier import (
    MAX_NORMAL,
    MAX_OTHERS,
    MOST_OF_A_RHYTHM,
    MOST_OF_A_VIEW,
    SHIFT_TICKS,
    WINDOW_NOISE,
    ClassifierConfig,
    ClassifierTrainer,
    augmented,
    fit_classifier,
    load_network,
    probabilities_of,
    training_beats,
)
from models.training.progress import EpochReport
from pipeline.constants import CLASSES, MEASURES
from pipeline.errors import ConfigError, InputError
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS
from tests.support.classifiers import training_record
from tests.support.databases import database

pytestmark = pytest.mark.system

NAMES = {"mitdb": ("101", "106", "108")}


def record(name: str, seed: int, beats: str = 8 * "NNNNNNSSVVF") -> TrainingRecord:
    """Return beats in any order, whose class shows in window and context."""
    classes = "".join(np.random.default_rng(seed).permutation(list(beats)).tolist())
    return training_record(name, classes, seed=seed)


@pytest.fixture(scope="module")
def records() -> list[TrainingRecord]:
    """Three patients."""
    return [record(name, seed) for seed, name in enumerate(NAMES["mitdb"])]


def config(folder: Path, **settings: object) -> ClassifierConfig:
    """Return settings of a training of moments."""
    return ClassifierConfig(
        **{
            "data": folder / "data",
            "folder": folder,
            "epochs": 2,
            "batch": 32,
            "device": "cpu",
            "bf16": False,
            **settings,
        }
    )


def ignore(_: object) -> None:
    """Watch nothing."""


def test_interrupted_training_ends_with_the_same_weights(
    records: list[TrainingRecord], tmp_path: Path
) -> None:
    """A run that was cut off after an epoch and started again is the run that was not."""
    whole = fit_classifier(config(tmp_path / "whole"), records, NAMES, ignore)

    def cut_off(report: object) -> None:
        if isinstance(report, EpochReport):
            raise KeyboardInterrupt

    settings = config(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        fit_classifier(settings, records, NAMES, cut_off)
    again = fit_classifier(settings, records, NAMES, ignore)

    assert again.training == whole.training
    for name in ("best", "last"):
        expected, got = (
            read_checkpoint(tmp_path / run / f"{name}.safetensors").tensors
            for run in ("whole", "parts")
        )
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_training_learns_the_classes(records: list[TrainingRecord], tmp_path: Path) -> None:
    """After some epochs most beats of a patient that had no part get their class."""
    fit_classifier(config(tmp_path, epochs=10, learning_rate=5e-3), records, NAMES, ignore)
    unseen = record("109", seed=77)

    network = load_network(tmp_path / "best.safetensors")
    found = probabilities_of(network, unseen.windows, unseen.measures[:, CONTEXT_COLUMNS])

    right = np.array(CLASSES)[found.argmax(axis=1)] == unseen.classes
    assert right.mean() > 0.8


def test_beats_of_no_class_to_learn_have_no_part(records: list[TrainingRecord]) -> None:
    """False detections, Q, and what cannot be analysed teach nothing."""
    one = records[0]
    classes, usable = one.classes.copy(), one.usable.copy()
    classes[:3], usable[3:6] = ["-", "Q", "-"], False

    beats = training_beats([replace(one, classes=classes, usable=usable)])

    assert len(beats.classes) == len(one.classes) - 6
    for number, kind in enumerate(CLASSES):
        rows = np.flatnonzero(one.classes[6:] == kind) + 6
        of_kind = beats.classes == number
        np.testing.assert_array_equal(beats.windows[of_kind], one.windows[rows])
        np.testing.assert_array_equal(
            beats.context[of_kind], one.measures[rows][:, CONTEXT_COLUMNS]
        )


def test_no_patient_and_no_class_rules_an_epoch(tmp_path: Path) -> None:
    """An epoch takes no more of a record and class than is allowed, from that group alone."""
    rhythms = [
        training_record(f"{kind}/1", 40 * "N", kind=kind) for kind in (NORMAL_RHYTHM, FIBRILLATION)
    ]
    view = training_record("101", 400 * "N" + 300 * "S", kind=OTHER_VIEW)
    many = training_beats(
        [record("101", 0, 400 * "N" + 300 * "S" + 9 * "VF"), record("106", 1), *rhythms, view]
    )
    trainer = ClassifierTrainer(config(tmp_path), many)

    rows = trainer._rows(torch.arange(trainer.slots), torch.Generator().manual_seed(0)).numpy()

    most = [
        *(MAX_NORMAL if name == "N" else MAX_OTHERS for name in 2 * CLASSES),
        MOST_OF_A_RHYTHM[NORMAL_RHYTHM],
        MOST_OF_A_RHYTHM[FIBRILLATION],
        MOST_OF_A_VIEW["N"],
        MOST_OF_A_VIEW["others"],
    ]
    for (first, size, _), allowed in zip(many.groups.tolist(), most, strict=True):
        inside = (rows >= first) & (rows < first + size)
        assert inside.sum() == min(size, allowed)


def test_augmentation_shifts_and_blurs_a_little() -> None:
    """A window moves by some ticks and gets noise, and stays what it is."""
    ramp = torch.linspace(-1, 1, 320).repeat(300, 1)

    got = augmented(ramp, torch.Generator().manual_seed(0))

    step = 2 / 319
    furthest = (got - ramp)[:, 10:-10].mean(dim=1).abs().max().item()
    assert 0.8 * SHIFT_TICKS * step < furthest < (SHIFT_TICKS + 1) * step
    assert WINDOW_NOISE / 2 < got.diff(dim=1).std(dim=1).max().item() / 2**0.5 < 2 * WINDOW_NOISE


def test_artifact_says_what_it_comes_from(records: list[TrainingRecord], tmp_path: Path) -> None:
    """The finished network is the best checkpoint, without BatchNorm, and names its records."""
    artifact = fit_classifier(config(tmp_path), records, NAMES, ignore)
    save_classifier(artifact, tmp_path / "classifier.json")

    loaded = load_classifier(tmp_path / "classifier.json")
    assert loaded.training == artifact.training
    assert loaded.training.records == NAMES
    assert loaded.training.beats == {"N": 144, "S": 48, "V": 48, "F": 24}
    assert loaded.training.optimiser == "adabound"
    windows = records[0].windows[:40].clip(-1, 1)
    context = records[0].measures[:40, CONTEXT_COLUMNS]
    np.testing.assert_allclose(
        ClassifierScorer(artifact).classify(windows, context),
        probabilities_of(load_network(tmp_path / "best.safetensors"), windows, context),
        atol=1e-5,
    )


def test_the_network_learns_nothing_from_streams(
    records: list[TrainingRecord], tmp_path: Path
) -> None:
    """Trees and network have the same patients; beats in an order made up are the trees' alone."""
    pytest.importorskip("sklearn")
    stream = training_record("101", 100 * "SSN", kind=STREAM)
    settings = BeatClassifierConfig(
        trees=BeatTreesConfig(rounds=2), network=config(tmp_path, epochs=1)
    )

    parts = fit([*records, stream], NAMES, settings, ignore)
    files = parts.save(tmp_path / "files")

    assert parts.network.training.beats["S"] == 48
    assert parts.trees.training.beats["S"] == 48 + 200
    assert parts.trees.training.records == parts.network.training.records == NAMES
    assert [file.name for file in files] == ["beat_trees.json", "classifier.json"]
    assert parts.classifier.probabilities(
        records[0].windows.clip(-1, 1), records[0].measures
    ).shape == (88, 4)


def test_settings_that_cannot_be_trained_are_refused(tmp_path: Path) -> None:
    """A setting outside its range is named before anything is read."""
    with pytest.raises(ConfigError, match="0 epochs"):
        config(tmp_path, epochs=0)


def test_records_without_a_class_are_refused(tmp_path: Path) -> None:
    """Without S or V beats the epochs cannot be compared."""
    with pytest.raises(InputError, match="class S"):
        fit_classifier(config(tmp_path), [record("101", 0, 20 * "NNNVV")], NAMES, ignore)


@pytest.mark.data
def test_record_is_detected_and_paired_as_it_streams() -> None:
    """Record 208 gives its beats in order, nearly all annotated, with finite measures."""
    found = detect_beats(database("mitdb") / "208")

    assert (np.diff(found.samples) > 0).all()
    assert found.measures.shape == (found.samples.size, MEASURES)
    assert np.isfinite(found.measures).all()
    assert found.windows.shape == (found.samples.size, 320)
    assert np.count_nonzero(found.classes == "V") > 980
    assert np.count_nonzero(found.classes == "-") < 20
    assert found.missed.size < 20


@pytest.mark.data
def test_ventricular_flutter_is_not_counted() -> None:
    """No detection within the flutter of record 207 is called false."""
    found = detect_beats(database("mitdb") / "207")

    assert np.count_nonzero(found.classes == "-") < 30
