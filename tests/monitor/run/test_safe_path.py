"""What lies in the current folder is never imported; a checkout needs no installation."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.caching import UserProvidedCacheLocator

from pipeline.signal.kernels.cache import cache_folder, private_folder, sources_digest
from tests.monitor.run.test_system import (
    DEADLINE_S,
    ECTOPIC_DEVICE,
    STAGES,
    children,
    environment,
    finish,
    first_line,
    running,
)
from tests.support.paths import ROOT

pytestmark = pytest.mark.system

COMPILED_S = 4 * DEADLINE_S
"""Where the kernels are compiled first: forty seconds of a processor that others use, too."""

PACKAGES = ("monitor", "pipeline", "models", "replay")
DEPENDENCIES = (
    "msgspec", "numba", "numpy", "prometheus_client", "rich", "safetensors", "scipy", "serial",
    "torch", "typer", "wfdb", "zmq",
)  # fmt: skip
BASE_PYTHON = Path(sys.base_prefix) / "bin" / Path(sys.executable).resolve().name

needs_a_virtual_environment = pytest.mark.skipif(
    sys.prefix == sys.base_prefix, reason="needs a Python in which this is not installed"
)


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with a module of every name that there is; return where each leaves a mark."""
    folder, marks = tmp_path / "downloads", tmp_path / "marks"
    folder.mkdir()
    marks.mkdir()
    for name in (*PACKAGES, *DEPENDENCIES, *sys.stdlib_module_names):
        (folder / f"{name}.py").write_text(f"open({str(marks / name)!r}, 'w').close()\n")
    monkeypatch.chdir(folder)
    return marks


def imported(marks: Path) -> list[str]:
    """Return the names of the modules in the current folder that were imported."""
    return sorted(path.name for path in marks.iterdir())


def test_the_trap_catches_what_looks_in_the_current_folder(trap: Path) -> None:
    """Python without safe-path mode takes each of these names from there."""
    code = "import models, secrets, numpy"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE_S)
    assert imported(trap) == ["models", "numpy", "secrets"]


def test_a_scan_imports_nothing_from_the_current_folder(tmp_path: Path, trap: Path) -> None:
    """Neither by our names, nor the standard library's, nor those of what we need."""
    run = finish(tmp_path, "scan", "demo", "--json")

    assert imported(trap) == []
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(run.stdout.splitlines()[-1])["beats"] > 0


def test_a_run_and_its_stages_import_nothing_from_the_current_folder(
    tmp_path: Path, trap: Path
) -> None:
    """Hub, scorer and source are processes of their own that start there."""
    run = finish(tmp_path, "replay", "demo", "--speed", "max", "--json", "--port", "0")

    assert imported(trap) == []
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(run.stdout.splitlines()[-1])["beats"] > 0


def test_a_live_source_imports_nothing_from_the_current_folder(tmp_path: Path, trap: Path) -> None:
    """The source of a device as well."""
    with running(tmp_path, "live", *ECTOPIC_DEVICE, "--plain", "--port", "0") as process:
        first_line(process)
        stages = children(process.pid)
        process.terminate()
        output, errors = process.communicate(timeout=DEADLINE_S)

    assert imported(trap) == []
    assert (process.returncode, errors) == (130, b"")
    assert stages.keys() >= STAGES
    assert b"beats    " in output


@pytest.fixture(scope="module")
def uninstalled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a checkout, and an environment that has the libraries and no record of us.

    Each process that runs the checkout's code adds its id to the file ``ran`` in it.
    """
    folder = tmp_path_factory.mktemp("uninstalled")
    checkout, libraries, kernels = (folder / name for name in ("checkout", "libraries", "kernels"))
    libraries.mkdir()
    kernels.mkdir(mode=0o700)
    for one in Path(np.__file__).parents[1].iterdir():
        if "ecg_monitor" not in one.name:
            (libraries / one.name).symlink_to(one)
    for name in PACKAGES:
        (checkout / name).mkdir(parents=True)
        for one in (ROOT / name).iterdir():
            if one.name != "__pycache__":
                (checkout / name / one.name).symlink_to(one)
    main = checkout / "monitor" / "__main__.py"
    note = f"import os\nopen({str(checkout / 'ran')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    code = note + main.read_text()
    main.unlink()
    main.write_text(code)
    _copy_compiled_kernels(checkout, kernels)
    variables = {"NUMBA_CACHE_DIR": str(kernels), "PYTHONPATH": str(libraries)}
    return checkout, environment(folder) | variables


def _copy_compiled_kernels(checkout: Path, kernels: Path) -> None:
    """Copy those of this checkout, which numba keeps by the path of their source."""
    finish(kernels.parent, "scan", "demo")  # should it be the first of all to need them
    place = UserProvidedCacheLocator.get_suitable_cache_subpath
    folder = Path("pipeline", "signal", "kernels")
    state = sources_digest(ROOT / folder)
    private_folder(kernels / state)
    for one in {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")}:
        ours = cache_folder() / state / place(str(ROOT / one))
        if ours.exists():
            theirs = kernels / state / place(str(checkout / one))
            shutil.copytree(ours, theirs, dirs_exist_ok=True)


@needs_a_virtual_environment
@pytest.mark.timeout(2 * COMPILED_S)  # should the copied kernels not be found
@pytest.mark.parametrize("found", ["in the current folder", "by PYTHONPATH"])
def test_a_checkout_runs_without_being_installed(
    trap: Path, uninstalled: tuple[Path, dict[str, str]], found: str
) -> None:
    """Every process runs the checkout's own code, the stages in safe-path mode too."""
    checkout, variables = uninstalled
    words = ["-m", "monitor", "replay", "demo", "--speed", "max", "--json", "--port", "0"]
    folder = checkout
    if found == "by PYTHONPATH":
        path = os.pathsep.join([str(checkout), variables["PYTHONPATH"]])
        words, folder, variables = ["-P", *words], Path.cwd(), variables | {"PYTHONPATH": path}
    (checkout / "ran").unlink(missing_ok=True)
    run = subprocess.run(
        [BASE_PYTHON, *words], cwd=folder, env=variables, capture_output=True, timeout=COMPILED_S
    )

    assert run.returncode == 0, run.stderr
    assert imported(trap) == []
    ran = (checkout / "ran").read_text().split()
    assert len(set(ran)) == len(ran) == 1 + len(STAGES)


def test_a_checkout_starts_its_own_code_where_another_is_installed(
    uninstalled: tuple[Path, dict[str, str]],
) -> None:
    """Safe-path mode alone would start the installed one."""
    checkout, _ = uninstalled
    code = "import subprocess, monitor.run.processes as p; c, e = p.child_command(['--help']); "
    code += "subprocess.run(c, env=e, check=True)"
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    (checkout / "ran").unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout, env=variables, stdout=subprocess.DEVNULL, check=True, timeout=COMPILED_S,
    )  # fmt: skip

    assert len((checkout / "ran").read_text().split()) == 1
