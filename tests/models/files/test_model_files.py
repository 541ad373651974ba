"""No file of weights runs code, and those that ship are those that the repository pins."""

import ast
import hashlib
import io
import json
import os
import re
import shutil
import sys
import unicodedata
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from models.files import model_file
from models.files.beat_trees import load_beat_trees
from models.files.calibration import load_calibration
from models.files.classifier import load_classifier
from models.files.model_file import PINNED, SHIPPED, pin, read_model_file, weights_path
from models.files.student import (
    SHIPPED_STUDENT,
    load_student,
    save_student,
    tensor_shapes,
)
from models.training.checkpoint import MAX_CHECKPOINT_BYTES, read_checkpoint
from pipeline.errors import ArtifactError
from tests.support.limits import tried
from tests.support.sources import PACKAGES, modules, relative

RUN_CODE = (
    "torch.load", "torch.jit.load", "torch.export.load", "torch.package", "torch.hub",
    "torch.serialization", "torch.classes", "pickle", "_pickle", "cloudpickle", "dill", "joblib",
    "shelve", "marshal", "pandas.read_pickle", "yaml.load", "yaml.unsafe_load", "onnx",
    "onnxruntime", "eval", "exec",
)  # fmt: skip
"""What runs code that it finds in a file or a text, or loads data from where a file points."""

MENTIONED = re.compile(
    rf"\b(?:{'|'.join(sorted({name.partition('.')[0] for name in RUN_CODE}))}|allow_pickle)\b"
)
"""What a source file names that does any of that, under whatever name it goes on."""


def named(tree: ast.Module) -> Iterator[str]:
    """Yield the full name of whatever the code imports or reaches through what it imports."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        name, parts = node, []
        while isinstance(name, ast.Attribute):
            parts.insert(0, name.attr)
            name = name.value
        if isinstance(name, ast.Name) and (parts or isinstance(node, ast.Name)):
            yield ".".join([aliases.get(name.id, name.id), *parts])


@cache
def can_run_code(name: str) -> bool:
    """Return whether a name is one of `RUN_CODE`, or lies in one."""
    return any(name == one or name.startswith(f"{one}.") for one in RUN_CODE)


def runs_code(source: str) -> list[str]:
    """Return what in the text of a source file could run code out of another file."""
    if not MENTIONED.search(unicodedata.normalize("NFKC", source)):  # as Python reads names
        return []
    tree = ast.parse(source)
    found = set(filter(can_run_code, named(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found |= set() if ast.unparse(node.value) == "False" else {"allow_pickle"}
    return sorted(found)


def test_nothing_loads_what_can_run() -> None:
    """No pickle, no torch.load and its like, no eval: not in the program, not in its tests."""
    offenders = [
        f"{relative(path)}: {name}"
        for path in modules(*PACKAGES, "tests")
        for name in runs_code(path.read_text(encoding="utf-8"))
    ]

    assert offenders == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x', weights_only=True)",
        "from torch import load as fetch\nfetch('x')",
        "import torch as t\nt.jit.load('x')",
        "import torch.export as e\ne.load('x')",
        "def f():\n    import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import pandas\npandas.read_pickle('x')",
        "eval('1')",
    ],
)
def test_the_search_for_such_calls_finds_them(source: str) -> None:
    """Under whatever name they are imported."""
    assert runs_code(source) != []


def _old_torch() -> bytes:
    return b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."


def _new_torch() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return file.getvalue()


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_safetensors_whose_length_looks_like_a_pickle_is_none(tmp_path: Path, length: int) -> None:
    """Such a header's length begins with the bytes of a pickle; what follows does not."""
    empty = len(save({}, metadata={"pad": ""})) - 8
    content = save({}, metadata={"pad": "x" * (length - empty)})
    assert content[0] == 0x80
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert read_model_file(path, 10_000, "") == content


@pytest.mark.parametrize("content", [_old_torch(), _new_torch(), b"\x80\x05N."])
def test_a_pickle_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """As weights whose check sum is right, as a description, and as a checkpoint."""
    for suffix in (".json", ".safetensors"):
        shutil.copy(SHIPPED_STUDENT.with_suffix(suffix), tmp_path)
    description = tmp_path / "student.json"
    whole = description.read_text()
    facts = json.loads(whole)
    facts["weights_sha256"] = hashlib.sha256(content).hexdigest()
    description.write_text(json.dumps(facts))
    weights_path(description).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"student\.safetensors is a pickle.*never read"):
        load_student(description)
    with pytest.raises(ArtifactError, match="is a pickle"):
        read_checkpoint(weights_path(description))
    description.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"student\.json is a pickle"):
        load_student(description)


# --- what ships ------------------------------------------------------------------------------


def test_every_file_that_ships_is_pinned() -> None:
    """All files and no others, each with its SHA-256; ``make weights`` writes the list again."""
    pinned = dict(reversed(line.split("  ")) for line in PINNED.read_text().splitlines())

    there = {path for path in SHIPPED.rglob("*") if path.is_file()} - {PINNED}
    assert pinned == {
        path.relative_to(SHIPPED).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in there
    }


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.json")), ids=lambda path: path.stem)
def test_everything_that_was_fitted_names_the_records(path: Path) -> None:
    """What was trained on what stands beside the weights."""
    facts = json.loads(path.read_text())
    assert facts.get("training", facts)["records"]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what ships that may be altered, in the place of what ships."""
    folder = tmp_path / "weights"
    shutil.copytree(SHIPPED, folder)
    monkeypatch.setattr(model_file, "SHIPPED", folder)
    monkeypatch.setattr(model_file, "PINNED", folder / "SHA256SUMS")
    return folder


def test_a_shipped_description_that_was_altered_is_refused(shipped: Path) -> None:
    """Also where its own check sum cannot know: a threshold, a rule, both files exchanged."""
    student, score = shipped / "student.json", shipped / "live_score.json"
    load_student(student)
    load_calibration(score, student)
    load_classifier(shipped / "classifier.json")
    load_beat_trees(shipped / "beat_trees.json")

    score.write_bytes(score.read_bytes().replace(b'"threshold": ', b'"threshold": 1', 1))
    with pytest.raises(ArtifactError, match=r"live_score\.json is not the file that SHA256SUMS"):
        load_calibration(score, student)
    for suffix in (".json", ".safetensors"):
        shutil.copy(
            (shipped / "folds" / "student-0").with_suffix(suffix), shipped / f"student{suffix}"
        )
    with pytest.raises(ArtifactError, match="SHA256SUMS pins"):
        load_student(student)


@pytest.mark.parametrize("list_", [None, b"", b"\xff" * 100, b"0" * 64 + b"  student.json\n"])
def test_nothing_is_read_without_the_list(shipped: Path, list_: bytes | None) -> None:
    """A list that is missing or spoilt pins nothing, and what is not pinned is refused."""
    if list_ is None:
        (shipped / "SHA256SUMS").unlink()
    else:
        (shipped / "SHA256SUMS").write_bytes(list_)
    with pytest.raises(ArtifactError, match="SHA256SUMS pins"):
        load_student(shipped / "student.json")


def test_a_new_training_is_pinned(shipped: Path) -> None:
    """After that the list is right again."""
    score = shipped / "live_score.json"
    score.write_bytes(score.read_bytes() + b"\n")
    pin()

    assert read_model_file(score, 65_536, "") == score.read_bytes()


@pytest.mark.parametrize(
    "content",
    [b"[" * 60_000, b"\xff", b"{}", b"[]", b'{"format": 4, "weights_sha256": "", "scales": 1}'],
)
def test_a_calibration_of_any_bytes_is_refused(tmp_path: Path, content: bytes) -> None:
    """Too deep, too short, another shape: the error is ours."""
    path = tmp_path / "live_score.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is no calibration"):
        load_calibration(path)


def test_a_calibration_with_a_number_beyond_all_is_refused(tmp_path: Path) -> None:
    """A whole number of any length is JSON, but no float."""
    facts = json.loads((SHIPPED / "live_score.json").read_text())
    facts["thresholds"][0]["threshold"] = 10**400
    path = tmp_path / "live_score.json"
    path.write_text(json.dumps(facts))
    with pytest.raises(ArtifactError, match="is no calibration"):
        load_calibration(path)


# --- hostile bytes ---------------------------------------------------------------------------


def mutated(good: bytes, random: np.random.Generator) -> bytes:
    """Return a safetensors file changed here and there, mostly in its header, or cut."""
    header = 8 + int.from_bytes(good[:8], "little")
    altered = bytearray(good)
    match random.integers(0, 8):
        case 0:
            altered = altered[: random.integers(0, len(good))]
        case 1:
            altered[:8] = int(random.integers(0, 2**63)).to_bytes(8, "little")
        case 2:
            at = random.integers(8, header)
            digits = b'0123456789-.eE[]{},"' + bytes([random.integers(0, 256)])
            altered[at] = digits[random.integers(0, len(digits))]
        case 3:
            at = random.integers(8, header)
            altered[at:at] = bytes(random.integers(48, 58, random.integers(1, 30)).tolist())
        case 4:
            names = (b"F32", b"F64", b"F16", b"BF16", b"F8_E4M3", b"I64", b"U8", b"BOOL", b"C64")
            altered = altered.replace(b"F32", names[random.integers(0, len(names))], 1)
        case _:
            for at in random.integers(0, header, random.integers(1, 4)):
                altered[at] = random.integers(0, 256)
    return bytes(altered)


@tried(1_000, 10_000)
def test_mutations_never_crash_and_never_change_shape(tmp_path: Path, times: int) -> None:
    """Weights of a hostile header, checksum adjusted, load as expected or are refused."""
    random = np.random.default_rng(11)
    artifact = load_student()
    shapes = tensor_shapes(2, 3)
    small = {
        "width": 2,
        "latent": 3,
        "smoothing_ticks": artifact.smoothing_ticks,
        "scored_ticks": artifact.scored_ticks,
        "training": artifact.training,
        "metrics": {},
        "tensors": {name: np.ones(shape, dtype=np.float32) for name, shape in shapes.items()},
    }
    description = tmp_path / "student.json"
    save_student(type(artifact)(**small), description)
    facts = description.read_text()
    sha256 = json.loads(facts)["weights_sha256"]
    good = weights_path(description).read_bytes()
    loaded, refusals = 0, []
    for _ in range(times):
        weights = mutated(good, random)
        weights_path(description).write_bytes(weights)
        description.write_text(facts.replace(sha256, hashlib.sha256(weights).hexdigest()))
        try:
            found = load_student(description).tensors
        except ArtifactError as error:
            refusals.append(str(error))
        else:
            loaded += 1
            assert {name: tensor.shape for name, tensor in found.items()} == shapes
            assert all(np.isfinite(tensor).all() for tensor in found.values())
    assert 0 < loaded < times // 10
    assert all(refusal.isprintable() for refusal in refusals)


def test_a_mutated_checkpoint_is_read_or_refused(tmp_path: Path) -> None:
    """A run's own file is no more trusted than another's."""
    random = np.random.default_rng(12)
    state = {"config": {}, "epoch": 1, "best_epoch": 1, "validation": {}}
    facts = json.dumps({**state, "version": 2, "optimisers": {}})
    good = save({"net/a": np.ones(3, dtype=np.float32)}, metadata={"facts": facts})
    path = tmp_path / "last.safetensors"
    refusals = []
    for _ in range(1000):
        path.write_bytes(mutated(good, random))
        try:
            tensors = read_checkpoint(path).tensors
        except ArtifactError as error:
            refusals.append(str(error))
        else:
            assert all(tensor.numel() < 1000 for tensor in tensors.values())
    assert 500 < len(refusals) < 1000
    assert all(refusal.isprintable() for refusal in refusals)
    assert load(good)["net/a"].tolist() == [1, 1, 1]


def test_what_is_no_checkpoint_is_not_even_opened(tmp_path: Path) -> None:
    """A FIFO would block for ever, a file of any size would fill the memory."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ArtifactError, match="does not exist"):
        read_checkpoint(tmp_path / "fifo")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_CHECKPOINT_BYTES + 1)
    with pytest.raises(ArtifactError, match="larger"):
        read_checkpoint(tmp_path / "large")
    deep = b"[" * (sys.getrecursionlimit() * 20)
    facts = save({"a": np.ones(1, dtype=np.float32)}, metadata={"facts": deep.decode()})
    (tmp_path / "deep").write_bytes(facts)
    with pytest.raises(ArtifactError, match="no checkpoint"):
        read_checkpoint(tmp_path / "deep")
