"""The files of a student are checked completely before anything is scored."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from models.data.mitdb import DS1
from models.files.model_file import MAX_DESCRIPTION_BYTES, MAX_WEIGHTS_BYTES, SHIPPED, weights_path
from models.files.student import (
    SHIPPED_STUDENT,
    StudentArtifact,
    load_student,
    save_student,
    tensor_shapes,
)
from models.training.distillation.losses import new_student
from models.training.export import folded_tensors
from pipeline.errors import ArtifactError


@pytest.fixture
def artifact() -> StudentArtifact:
    """A tiny student with random weights."""
    random = np.random.default_rng(0)
    return StudentArtifact(
        width=2,
        latent=3,
        smoothing_ticks=9,
        scored_ticks=(20, 200),
        training=load_student().training,
        metrics={"auc": 0.5},
        tensors={
            name: random.normal(size=shape).astype(np.float32)
            for name, shape in tensor_shapes(2, 3).items()
        },
    )


@pytest.fixture
def description(artifact: StudentArtifact, tmp_path: Path) -> Path:
    """The tiny student on disk."""
    path = tmp_path / "student.json"
    save_student(artifact, path)
    return path


def _rewrite(description: Path, change: Callable[[dict[str, Any]], None]) -> None:
    facts = json.loads(description.read_text())
    change(facts)
    description.write_text(json.dumps(facts))


def _reweigh(description: Path, weights: bytes) -> None:
    """Replace the weights and the checksum with them, as an attacker would."""
    weights_path(description).write_bytes(weights)
    _rewrite(
        description, lambda facts: facts.update(weights_sha256=hashlib.sha256(weights).hexdigest())
    )


def test_what_is_saved_is_loaded(artifact: StudentArtifact, description: Path) -> None:
    """Every fact and every bit survives."""
    loaded = load_student(description)

    assert loaded.training == artifact.training
    assert loaded.metrics == artifact.metrics
    assert (loaded.width, loaded.latent) == (2, 3)
    assert (loaded.smoothing_ticks, loaded.scored_ticks) == (9, (20, 200))
    assert loaded.sha256 == hashlib.sha256(weights_path(description).read_bytes()).hexdigest()
    for name, tensor in artifact.tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)


def test_nothing_but_the_two_files_is_left(description: Path) -> None:
    """Saving leaves no unfinished file behind."""
    assert sorted(p.name for p in description.parent.iterdir()) == [
        "student.json",
        "student.safetensors",
    ]


def test_shipped_student_is_complete_and_small() -> None:
    """What ships loads, is under 0.5 MB, and has learned from the patients of DS1 alone."""
    shipped = load_student()

    assert weights_path(SHIPPED_STUDENT).stat().st_size < 500_000
    assert shipped.training.database == "mitdb"
    assert shipped.training.split == "ds1"
    assert shipped.training.records == DS1


def test_expected_tensors_are_those_of_a_folded_student() -> None:
    """The list of names and shapes follows the network that is trained."""
    student = new_student()

    shapes = {name: tensor.shape for name, tensor in folded_tensors(student).items()}

    assert shapes == tensor_shapes(student.width, student.latent)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_missing_file_is_named(description: Path, suffix: str) -> None:
    """Without one of the two files the error names it and the remedy."""
    description.with_suffix(suffix).unlink()
    with pytest.raises(ArtifactError, match=rf"student\{suffix} is missing.*train"):
        load_student(description)


def test_folder_or_pipe_in_place_of_a_file_is_refused(description: Path) -> None:
    """Nothing but a regular file is opened: a pipe would block for ever."""
    weights_path(description).unlink()
    os.mkfifo(weights_path(description))
    with pytest.raises(ArtifactError, match="missing"):
        load_student(description)


def test_every_altered_byte_of_the_weights_is_noticed(description: Path) -> None:
    """One flipped bit anywhere is refused."""
    weights = weights_path(description).read_bytes()
    for position in range(0, len(weights), len(weights) // 50):
        altered = bytearray(weights)
        altered[position] ^= 1
        weights_path(description).write_bytes(altered)
        with pytest.raises(ArtifactError, match="altered"):
            load_student(description)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("input", "window_samples", 256),
        ("input", "window_samples", True),
        ("input", "sampling_rate_hz", 250),
        ("input", "samples_before_r", 100),
        ("input", "band_pass_hz", [0.5, 40.0]),
        ("input", "scaling", "none"),
        ("score", "rule", "mean absolute residual"),
        ("score", "smoothing_ticks", 8),
        ("score", "smoothing_ticks", -1),
        ("score", "smoothing_ticks", 9.0),
        ("score", "first_tick", -1),
        ("score", "first_tick", 320),
        ("score", "end_tick", 20),
        ("score", "end_tick", 321),
        ("network", "width", 0),
        ("network", "width", 10**9),
        ("network", "latent", None),
        ("network", "latent", "8"),
    ],
)
def test_student_for_something_else_is_refused(
    description: Path, part: str, key: str, value: object
) -> None:
    """Another window, rate, band, scaling or score rule is named in the error."""
    _rewrite(description, lambda facts: facts[part].update({key: value}))
    with pytest.raises(ArtifactError, match=key if key != "rule" else "scores by"):
        load_student(description)


@pytest.mark.parametrize(("key", "value"), [("format", 3), ("model", "other"), ("format", None)])
def test_other_version_is_refused(description: Path, key: str, value: object) -> None:
    """A description of another format or model is not read."""
    _rewrite(description, lambda facts: facts.update({key: value}))
    with pytest.raises(ArtifactError, match="this program reads"):
        load_student(description)


@pytest.mark.parametrize(
    "key", ["input", "network", "score", "training", "metrics", "weights_sha256"]
)
def test_description_must_be_complete(description: Path, key: str) -> None:
    """Each missing part is named."""
    _rewrite(description, lambda facts: facts.pop(key))
    with pytest.raises(ArtifactError, match=key):
        load_student(description)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda training: training.pop("split"), "split"),
        (lambda training: training.update(split=2), r"\$\.split"),
        (lambda training: training.update(seed="9"), r"\$\.seed"),
        (lambda training: training.update(records="101"), r"\$\.records"),
        (lambda training: training.update(weather="fine"), "keys that no StudentTraining has"),
    ],
)
def test_what_is_said_of_the_training_is_complete_and_known(
    description: Path, change: Callable[[dict[str, Any]], Any], named: str
) -> None:
    """A missing or unknown key, or a value of another type, is refused by name."""
    _rewrite(description, lambda content: change(content["training"]))
    with pytest.raises(ArtifactError, match=rf"student\.json: training .*{named}.*train student"):
        load_student(description)


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("student*.json")), ids=lambda path: path.name)
def test_what_ships_is_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    """Both files of each student: nothing is lost on the way through the program."""
    save_student(load_student(path), tmp_path / path.name)
    for suffix in (".json", ".safetensors"):
        written = (tmp_path / path.name).with_suffix(suffix)
        assert written.read_bytes() == path.with_suffix(suffix).read_bytes()


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"[]", b"null", b"{", b"[" * 60_000])
def test_description_that_is_none_is_refused(description: Path, text: bytes) -> None:
    """Any bytes that are not a description raise `ArtifactError`."""
    description.write_bytes(text)
    with pytest.raises(ArtifactError, match=r"student\.json"):
        load_student(description)


def test_oversized_files_are_refused_before_they_are_read(description: Path) -> None:
    """A description or weights beyond the limit never get into memory whole."""
    whole = description.read_bytes()
    description.write_bytes(whole + b" " * MAX_DESCRIPTION_BYTES)
    with pytest.raises(ArtifactError, match="larger"):
        load_student(description)

    description.write_bytes(whole)
    with weights_path(description).open("r+b") as file:
        file.truncate(MAX_WEIGHTS_BYTES + 1)
    with pytest.raises(ArtifactError, match="larger"):
        load_student(description)


def test_tensors_must_be_exactly_the_expected_ones(description: Path) -> None:
    """A tensor that is missing, added, of another shape or type, or not finite is named."""
    tensors = load(weights_path(description).read_bytes())
    bias = tensors["encoder.1.bias"]
    for changed, message in (
        ({k: v for k, v in tensors.items() if k != "encoder.1.bias"}, "unknown tensors"),
        (tensors | {"extra": bias}, "extra"),
        (tensors | {"encoder.1.bias": bias[:-1].copy()}, r"encoder\.1\.bias is float32"),
        (tensors | {"encoder.1.bias": bias.astype(np.float64)}, r"encoder\.1\.bias is float64"),
        (tensors | {"encoder.1.bias": np.full_like(bias, np.nan)}, "not finite"),
    ):
        _reweigh(description, save(changed))
        with pytest.raises(ArtifactError, match=message):
            load_student(description)


def test_student_that_could_not_be_loaded_is_not_saved(
    artifact: StudentArtifact, tmp_path: Path
) -> None:
    """Saving checks the tensors too, and leaves nothing half-written."""
    tensors = dict(artifact.tensors)
    tensors.pop("latent.weight")
    with pytest.raises(ArtifactError, match=r"latent\.weight"):
        save_student(replace(artifact, tensors=tensors), tmp_path / "student.json")
    assert not list(tmp_path.iterdir())
