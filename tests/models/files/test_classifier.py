"""The classifier's files are checked completely before a beat is classified."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from models.files.classifier import (
    SHIPPED_CLASSIFIER,
    ClassifierArtifact,
    load_classifier,
    save_classifier,
)
from models.files.model_file import MAX_DESCRIPTION_BYTES, MAX_WEIGHTS_BYTES, weights_path
from models.inference.classifier import ClassifierScorer
from pipeline.errors import ArtifactError
from tests.support.classifiers import network


@pytest.fixture
def artifact() -> ClassifierArtifact:
    """A classifier with random weights."""
    return network(seed=0)


@pytest.fixture
def description(artifact: ClassifierArtifact, tmp_path: Path) -> Path:
    """The same on disk."""
    path = tmp_path / "classifier.json"
    save_classifier(artifact, path)
    return path


def rewrite(description: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the description."""
    facts = json.loads(description.read_text())
    change(facts)
    description.write_text(json.dumps(facts))


def reweigh(description: Path, weights: bytes) -> None:
    """Replace the weights and the checksum with them, as an attacker would."""
    weights_path(description).write_bytes(weights)
    sha256 = hashlib.sha256(weights).hexdigest()
    rewrite(description, lambda facts: facts.update(weights_sha256=sha256))


def test_what_is_saved_is_loaded(artifact: ClassifierArtifact, description: Path) -> None:
    """Every fact and every bit survives, and nothing else is left in the folder."""
    loaded = load_classifier(description)

    assert loaded.training == artifact.training
    assert loaded.sha256 == hashlib.sha256(weights_path(description).read_bytes()).hexdigest()
    for name, tensor in artifact.tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)
    assert len(list(description.parent.iterdir())) == 2
    assert ClassifierScorer.load(description).name == f"classifier-{loaded.sha256[:12]}"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda facts: facts.update(format=1), "format 2"),
        (lambda facts: facts.update(format=True), "format 2"),
        (lambda facts: facts.update(model="beatgan-student"), "beatgan-student"),
        (lambda facts: facts["input"].update(window_samples=321), "window_samples"),
        (lambda facts: facts["input"]["context"].reverse(), "context"),
        (lambda facts: facts["input"].update(classes=["N", "V"]), "classes"),
        (lambda facts: facts["network"].update(groups=16), "groups"),
        (lambda facts: facts.update(training=None), "training"),
        (lambda facts: facts["training"].pop("records"), "records"),
        (lambda facts: facts["training"].update(more=1), "keys that no ClassifierTraining has"),
        (lambda facts: facts.pop("metrics"), "metrics"),
        (lambda facts: facts.pop("weights_sha256"), "weights_sha256"),
    ],
)
def test_classifier_made_for_something_else_is_refused_by_name(
    description: Path, change: Callable[[dict[str, Any]], Any], named: str
) -> None:
    """Another version, input, context or network is named in the error, with the remedy."""
    rewrite(description, change)

    with pytest.raises(ArtifactError, match="monitor train classifier") as refused:
        load_classifier(description)
    assert named in str(refused.value)


def test_what_ships_is_written_again_byte_for_byte(tmp_path: Path) -> None:
    """Nothing is lost on the way through the program."""
    save_classifier(load_classifier(), tmp_path / "classifier.json")
    for suffix in (".json", ".safetensors"):
        written = (tmp_path / "classifier.json").with_suffix(suffix)
        assert written.read_bytes() == SHIPPED_CLASSIFIER.with_suffix(suffix).read_bytes()


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_missing_file_is_refused(description: Path, suffix: str) -> None:
    """Either file alone is no classifier."""
    description.with_suffix(suffix).unlink()

    with pytest.raises(ArtifactError, match="is missing"):
        load_classifier(description)


def test_altered_weights_are_refused(description: Path) -> None:
    """One other bit in the weights is noticed."""
    path = weights_path(description)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(ArtifactError, match="altered or mixed up"):
        load_classifier(description)


def test_hostile_weights_are_refused(description: Path) -> None:
    """Weights with a fitting checksum still have to be exactly the expected tensors."""
    tensors = load(weights_path(description).read_bytes())
    name = "head.bias"
    wrong = [
        {**tensors, name: tensors[name][:-1].copy()},
        {**tensors, name: tensors[name].astype(np.float64)},
        {**tensors, name: np.full_like(tensors[name], np.nan)},
        {key: value for key, value in tensors.items() if key != name},
        {**tensors, "more": tensors[name]},
    ]
    for one in wrong:
        reweigh(description, save(one))
        with pytest.raises(ArtifactError, match=r"head\.bias|more"):
            load_classifier(description)
    reweigh(description, b"\xff" * 64)
    with pytest.raises(ArtifactError, match="no safetensors"):
        load_classifier(description)


def test_files_that_are_too_large_or_no_json_are_refused(description: Path) -> None:
    """Nothing is parsed before its size is known to be reasonable."""
    weights_path(description).write_bytes(b"0" * (MAX_WEIGHTS_BYTES + 1))
    with pytest.raises(ArtifactError, match="larger than"):
        load_classifier(description)
    description.write_bytes(b"0" * (MAX_DESCRIPTION_BYTES + 1))
    with pytest.raises(ArtifactError, match="larger than"):
        load_classifier(description)
    for text in ("[" * 50_000, "{", "[]", "7"):
        description.write_text(text)
        with pytest.raises(ArtifactError, match=r"not JSON|no object"):
            load_classifier(description)


def test_unfit_weights_are_not_saved(artifact: ClassifierArtifact, tmp_path: Path) -> None:
    """What could not be loaded is never written."""
    artifact.tensors["head.bias"] = np.full(4, np.inf, dtype=np.float32)

    with pytest.raises(ArtifactError, match="not finite"):
        save_classifier(artifact, tmp_path / "classifier.json")
    assert list(tmp_path.iterdir()) == []
