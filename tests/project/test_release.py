"""What is released: the site of the documents, image, citation, and the list of software."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.files.model_file import PINNED
from models.measure.sbom import main, with_weights
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_documents_build_without_a_warning(tmp_path: Path) -> None:
    """As a site: every page, link and anchor that it knows is there."""
    pytest.importorskip("mkdocs", reason="mkdocs is in the extra dev")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip

    assert built.returncode == 0, built.stderr
    assert (tmp_path / "python.html").is_file()


def test_the_image_passes_the_linter() -> None:
    """By hadolint; and its user has no rights."""
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.is_file():
        pytest.skip("hadolint is in the extra release")
    linted = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)

    assert (linted.returncode, linted.stdout) == (0, "")
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    last_stage = lines[[n for n, line in enumerate(lines) if line.startswith("FROM")][-1] :]
    assert "USER 10001" in last_stage
    assert any(line.startswith("HEALTHCHECK") for line in last_stage)
    copied = {line.split()[1] for line in lines if line.startswith("COPY") and "--" not in line}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {name for name in copied if f"!{name}" not in ignored} == set()


def test_the_citation_is_of_this_version() -> None:
    """Name, version and licence are those of pyproject.toml."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())

    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
    assert all(one["title"] for one in [cited, *cited["references"]])


def test_the_list_of_software_holds_the_weights(tmp_path: Path) -> None:
    """Each pinned file once, with its SHA-256, however often they are added; packages stay."""
    package = {"type": "library", "bom-ref": "numpy==2.0", "name": "numpy"}
    bom: dict[str, Any] = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [package]}
    path = tmp_path / "sbom.json"
    path.write_text(json.dumps(bom))
    main(path)
    main(path)

    first, *weights = json.loads(path.read_text())["components"]
    assert first == package
    listed = [f"{one['hashes'][0]['content']}  {one['name']}" for one in weights]
    assert sorted(listed) == sorted(PINNED.read_text().splitlines())
    assert {one["type"] for one in weights} == {"machine-learning-model"}
    with pytest.raises(ValueError, match="CycloneDX"):
        with_weights({"bomFormat": "SPDX"}, {})
