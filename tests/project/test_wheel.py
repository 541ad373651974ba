"""The wheel, installed into an environment with nothing but what it needs, as a newcomer does.

Slow: installs some fifty packages by pip, from where pip finds them, for each Python that is there.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import recordings
from tests.support.paths import ROOT
from tests.support.ports import free_ports

pytestmark = pytest.mark.slow

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
LARGEST = 700e6
"""Bytes of all files of the environment, compiled modules included: most are of llvmlite, scipy and
what wfdb needs. pip and setuptools do not count: some environments have them, pipx's have not."""

INSTALLERS = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}

RUN_S = 900.0
"""The first start compiles the kernels: minutes of one core, and more where others use it, too."""


def interpreter(version: str) -> str:
    """Return the Python of a version, or skip the test where there is none."""
    named = sys.executable if sys.version.startswith(f"{version}.") else f"python{version}"
    found = subprocess.run(
        [shutil.which(named) or "false", "-c", "import sys; print(sys.base_prefix)"],
        capture_output=True, text=True,
    )  # fmt: skip
    if found.returncode:
        pytest.skip(f"there is no Python {version} on this machine")
    return str(Path(found.stdout.strip()) / "bin" / f"python{version}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout, built from a copy."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("models", "monitor", "pipeline", "replay"):
        shutil.copytree(
            ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", folder, folder / "source"],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_newcomer_scans_and_replays_from_the_wheel(
    version: str, wheel: Path, tmp_path: Path
) -> None:
    """Small, without torch, with every weight and the demo record; nothing of this checkout."""
    venv = tmp_path / "venv"
    subprocess.run([interpreter(version), "-m", "venv", venv], check=True)
    installed = subprocess.run(
        [venv / "bin" / "pip", "install", "--quiet", "--only-binary", ":all:", wheel],
        capture_output=True, text=True,
    )  # fmt: skip
    if "Could not find a version" in installed.stderr or "Connection" in installed.stderr:
        pytest.skip(f"pip finds no packages for {version}: {installed.stderr.splitlines()[-1]}")
    assert installed.returncode == 0, installed.stderr
    size = sum(
        file.lstat().st_size
        for file in venv.rglob("*")
        if file.is_file() and not INSTALLERS & set(file.parts)
    )
    assert size < LARGEST, f"{size / 1e6:.0f} MB"
    assert not list(venv.rglob("site-packages/torch"))

    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MONITOR_DATA")}
    own = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path / "state")}

    def run(*command: str) -> str:
        done = subprocess.run(
            [venv / "bin" / command[0], *command[1:]],
            env=kept | own, cwd=tmp_path, capture_output=True, text=True, timeout=RUN_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("monitor", "--version").startswith("ecg-monitor ")
    *beats, _ = map(json.loads, run("monitor", "scan", "demo", "--beats").splitlines())
    assert {"N", "V"} <= {beat["beat_class"] for beat in beats}
    port = str(free_ports())
    replayed = run("monitor", "replay", "demo", "--speed", "100", "--json", "--port", port)
    assert any(json.loads(line).get("kind") == "couplet" for line in replayed.splitlines())
    (tmp_path / "night.edf").write_bytes(recordings.edf_bytes(recordings.demo_adc(60)))
    run("monitor", "report", "night.edf")  # the second of a newcomer's two commands
    assert "4 ventricular" in (tmp_path / "night.html").read_text(encoding="utf-8")
    code = "import monitor; print(len(monitor.analyze('demo').beats))"
    assert run("python", "-c", code) == f"{len(beats)}\n"
