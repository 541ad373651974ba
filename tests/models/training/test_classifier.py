"""Training the classifier: the beats of an epoch, exact resumption, the written files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import models.training.classifier
from models.data.detected_beats import DetectedRecord, detect_beats, training_beats
from models.data.mitdb import DS1
from models.experiments.classifier_folds import compare_optimisers
from models.files.classifier import load_classifier
from models.inference.classifier import ClassifierScorer
from models.training.checkpoint import read_checkpoint
from models.training.classifier import (
    FOLDS,
    MAX_NORMAL,
    MAX_OTHERS,
    OPTIMISERS,
    SHIFT_TICKS,
    WINDOW_NOISE,
    ClassifierConfig,
    ClassifierTrainer,
    augmented,
    find_classifier_rate,
    fit_classifier,
    load_network,
    probabilities_of,
    train_classifier,
)
from models.training.progress import EpochReport
from pipeline.constants import CLASSES, RR_FEATURES
from pipeline.errors import ConfigError, InputError
from tests.support.databases import database

pytestmark = pytest.mark.system


def record(name: str, seed: int, beats: str = 8 * "NNNNNNSSVVF") -> DetectedRecord:
    """A record whose beats have their class in the height of a hump and in the context."""
    random = np.random.default_rng(seed)
    classes = random.permutation(np.array(list(beats)))
    number = np.array([CLASSES.index(kind) for kind in classes])
    hump = np.exp(-(((np.arange(320) - 140) / 12) ** 2))
    windows = np.outer(0.2 + 0.2 * number, hump) + 0.01 * random.standard_normal((number.size, 320))
    context = 0.1 * random.standard_normal((number.size, RR_FEATURES))
    context[:, 2] += number
    samples = 360 * np.arange(number.size) + 200_000
    return DetectedRecord(
        name=name,
        fs_hz=360.0,
        samples=samples,
        windows=windows.astype(np.float32),
        context=context.astype(np.float32),
        analysable=np.ones(number.size, dtype=bool),
        classes=classes,
        missed=np.array(["V"]),
        missed_samples=np.array([300_000]),
    )


@pytest.fixture(scope="module")
def records() -> list[DetectedRecord]:
    """Three patients."""
    return [record(name, seed) for seed, name in enumerate(("101", "106", "108"))]


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


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_interrupted_training_ends_with_the_same_weights(
    optimiser: str, records: list[DetectedRecord], tmp_path: Path
) -> None:
    """A run that was cut off after an epoch and started again is the run that was not."""
    whole = fit_classifier(config(tmp_path / "whole", optimiser=optimiser), records, ignore)

    def cut_off(report: object) -> None:
        if isinstance(report, EpochReport):
            raise KeyboardInterrupt

    settings = config(tmp_path / "parts", optimiser=optimiser)
    with pytest.raises(KeyboardInterrupt):
        fit_classifier(settings, records, cut_off)
    fit_classifier(settings, records, ignore)

    for name in ("best", "last"):
        expected = read_checkpoint(whole.with_stem(name)).tensors
        got = read_checkpoint(tmp_path / "parts" / f"{name}.safetensors").tensors
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_training_learns_to_tell_the_classes(records: list[DetectedRecord], tmp_path: Path) -> None:
    """After some epochs most beats of a patient that had no part get their class."""
    best = fit_classifier(config(tmp_path, epochs=10, learning_rate=5e-3), records, ignore)
    unseen = record("109", seed=77)

    found = probabilities_of(load_network(best), unseen.windows, unseen.context)

    right = np.array(CLASSES)[found.argmax(axis=1)] == unseen.classes
    assert right.mean() > 0.8


def test_beats_of_no_class_to_learn_have_no_part(records: list[DetectedRecord]) -> None:
    """False detections, Q, and what cannot be analysed teach nothing."""
    one = records[0]
    classes = one.classes.copy()
    analysable = one.analysable.copy()
    classes[:3], analysable[3:6] = ["-", "Q", "-"], False
    spoilt = DetectedRecord(
        **{
            field: getattr(one, field)
            for field in DetectedRecord.__slots__
            if field not in ("classes", "analysable")
        },
        classes=classes,
        analysable=analysable,
    )

    beats = training_beats([spoilt])

    assert len(beats.classes) == len(one.classes) - 6
    expected = one.windows[6:]
    for number, kind in enumerate(CLASSES):
        np.testing.assert_array_equal(
            beats.windows[beats.classes == number], expected[one.classes[6:] == kind]
        )


def test_no_patient_and_no_class_rules_an_epoch(tmp_path: Path) -> None:
    """An epoch takes no more of a record and class than is allowed, from that group alone."""
    many = training_beats([record("101", 0, 400 * "N" + 300 * "S" + 9 * "VF"), record("106", 1)])
    trainer = ClassifierTrainer(config(tmp_path), many)

    rows = trainer._rows(torch.arange(trainer.slots), torch.Generator().manual_seed(0)).numpy()

    for first, size in many.groups.tolist():
        inside = (rows >= first) & (rows < first + size)
        normal = many.classes[first] == CLASSES.index("N")
        assert inside.sum() == min(size, MAX_NORMAL if normal else MAX_OTHERS)


def test_augmentation_shifts_and_blurs_a_little() -> None:
    """A window moves by some ticks and gets noise, and stays what it is."""
    ramp = torch.linspace(-1, 1, 320).repeat(300, 1)

    got = augmented(ramp, torch.Generator().manual_seed(0))

    step = 2 / 319
    furthest = (got - ramp)[:, 10:-10].mean(dim=1).abs().max().item()
    assert 0.8 * SHIFT_TICKS * step < furthest < (SHIFT_TICKS + 1) * step
    assert WINDOW_NOISE / 2 < got.diff(dim=1).std(dim=1).max().item() / 2**0.5 < 2 * WINDOW_NOISE


def test_artifact_says_what_it_comes_from(
    records: list[DetectedRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finished classifier is the best checkpoint and names its records and settings."""
    monkeypatch.setattr(models.training.classifier, "database_folder", lambda data: data)
    monkeypatch.setattr(models.training.classifier, "detect_all", lambda folder, names: records)

    description = train_classifier(config(tmp_path), ignore)

    artifact = load_classifier(description)
    assert artifact.training.records == ("101", "106", "108")
    assert artifact.training.beats == {"N": 144, "S": 48, "V": 48, "F": 24}
    assert artifact.training.optimiser == "adabound"
    assert set(artifact.training.records) <= set(DS1)
    windows, context = records[0].windows[:40], records[0].context[:40]
    np.testing.assert_allclose(
        ClassifierScorer(artifact).classify(windows.clip(-1, 1), context),
        probabilities_of(load_network(tmp_path / "best.safetensors"), windows.clip(-1, 1), context),
        atol=1e-5,
    )


def test_learning_rate_can_be_searched(
    records: list[DetectedRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The range test runs on the classifier's own batches and keeps nothing."""
    monkeypatch.setattr(models.training.classifier, "database_folder", lambda data: data)
    monkeypatch.setattr(models.training.classifier, "detect_all", lambda folder, names: records)

    test = find_classifier_rate(config(tmp_path, optimiser="adamw"), ignore)

    assert test.suggested in test.rates
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"optimiser": "sgd"}, "sgd"),
        ({"held_out": 4}, "fold 4"),
        ({"split": "0"}, "ds1"),
        ({"epochs": 0}, "0 epochs"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(
    settings: dict[str, object], named: str, tmp_path: Path
) -> None:
    """A setting outside its range is named before anything is read."""
    with pytest.raises(ConfigError, match=named):
        config(tmp_path, **settings)


def test_records_without_a_class_are_refused(tmp_path: Path) -> None:
    """Without S or V beats the epochs cannot be compared."""
    with pytest.raises(InputError, match="class S"):
        fit_classifier(config(tmp_path), [record("101", 0, 20 * "NNNVV")], ignore)


def test_folds_deal_out_all_of_ds1_once() -> None:
    """Every patient of DS1 is unseen in one fold, and no other record is used."""
    dealt = [name for names in FOLDS for name in names]

    assert sorted(dealt) == sorted(DS1)
    for fold, names in enumerate(FOLDS):
        trained = ClassifierConfig(data=Path(), folder=Path(), held_out=fold).records
        assert set(trained) | set(names) == set(DS1)
        assert not set(trained) & set(names)


def test_comparison_counts_every_patient_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored comparison has a run for each configuration, with all beats of DS1 in it."""
    all_of_ds1 = [record(name, seed, 2 * "NNNSSVVF") for seed, name in enumerate(DS1)]
    monkeypatch.setattr(models.experiments.classifier_folds, "database_folder", lambda data: data)
    monkeypatch.setattr(
        models.experiments.classifier_folds, "detect_all", lambda folder, names: all_of_ds1
    )
    configs = [
        config(tmp_path / optimiser, optimiser=optimiser, epochs=1, batch=128)
        for optimiser in OPTIMISERS
    ]

    result = compare_optimisers(configs, tmp_path / "docs" / "comparison.json", ignore)

    stored = json.loads(result.read_text())
    assert [run["optimiser"] for run in stored["runs"]] == list(OPTIMISERS)
    for run in stored["runs"]:
        assert [one["record"] for one in run["per_record"]] == list(DS1)
        assert sum(run["gross"]["confusion"]["V"].values()) == len(DS1) * (4 + 1)


@pytest.mark.data
def test_record_is_detected_and_paired_as_it_streams() -> None:
    """Record 208 gives its beats in order, nearly all annotated, with finite contexts."""
    found = detect_beats(database("mitdb") / "208")

    assert (np.diff(found.samples) > 0).all()
    assert np.isfinite(found.context).all()
    assert found.windows.shape == (found.samples.size, 320)
    assert np.count_nonzero(found.classes == "V") > 980
    assert np.count_nonzero(found.classes == "-") < 20
    assert found.missed.size < 20


@pytest.mark.data
def test_ventricular_flutter_is_not_counted() -> None:
    """No detection within the flutter of record 207 is called false."""
    found = detect_beats(database("mitdb") / "207")

    assert np.count_nonzero(found.classes == "-") < 30
