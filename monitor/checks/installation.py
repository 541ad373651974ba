"""The checks of `monitor doctor` on the installation: Python, packages, imports, CUDA and more.

Each yields findings and changes nothing. Heavy imports lie inside the checks, so that an
installation with missing or broken libraries can still be examined.
"""

import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from monitor.checks.findings import Finding, fault, note, ok

PACKAGE: Final = "ecg-monitor"
CONSTRAINTS: Final = Path(__file__).parents[2] / "constraints.txt"
"""Versions that the project is tested with; only in a checkout, not in an installed package."""

PACKAGES: Final = ("monitor", "pipeline", "models", "replay")

_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9.]+)")
_LEAST_PYTHON: Final = (3, 11)


def check_python() -> Iterator[Finding]:
    """Check the version of Python."""
    found = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform}"
    if sys.version_info < _LEAST_PYTHON:
        yield fault(found, "Python 3.11 or newer is needed")
    else:
        yield ok(found)


def check_packages() -> Iterator[Finding]:
    """Compare the installed packages with those required and those tested."""
    try:
        wanted = requires(PACKAGE) or []
    except PackageNotFoundError:
        yield fault(f"{PACKAGE} is not installed", "pip install -e . in its folder")
        return
    runtime = [_REQUIREMENT.match(line) for line in wanted if "extra ==" not in line]
    least = {match[1]: match[2] for match in runtime if match}
    installed = installed_versions(least)
    wrong = [
        f"{name} {installed[name] or 'missing'} (needs {least_version})"
        for name, least_version in least.items()
        if not installed[name] or numbers(installed[name]) < numbers(least_version)
    ]
    if wrong:
        yield fault(", ".join(wrong), f"pip install --upgrade {PACKAGE}")
    elif not CONSTRAINTS.is_file():
        yield ok(f"{PACKAGE} {version(PACKAGE)} and the {len(least)} packages that it needs")
    else:
        yield from _against_constraints(len(least))


def _against_constraints(needed: int) -> Iterator[Finding]:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==", 1) for line in lines if "==" in line)
    installed = installed_versions(pinned)
    differing = [
        f"{name} {found} (tested {pinned[name]})"
        for name, found in installed.items()
        if found and found.partition("+")[0] != pinned[name]
    ]
    if differing:
        yield note(", ".join(differing), "PIP_CONSTRAINT=constraints.txt pip install -e .")
    else:
        yield ok(f"{PACKAGE} {version(PACKAGE)}, {needed} packages, all in the versions tested")


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each package, empty for one that is missing."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, trailing zeros left out."""
    parts = [int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", text)[0])]  # type: ignore[index]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def check_imports() -> Iterator[Finding]:
    """Check whether the packages come from one folder, and no other module hides them."""
    places = {name: _folder_of(name) for name in PACKAGES}
    found = ", ".join(f"{name} from {place or 'nowhere'}" for name, place in places.items())
    path = os.environ.get("PYTHONPATH")
    if len(set(places.values())) > 1:
        yield fault(
            found,
            "something else has that name: start the monitor in another folder, look at "
            f"PYTHONPATH, or install {PACKAGE} in an environment of its own",
        )
    elif path and not all(map(os.path.isabs, path.split(os.pathsep))):
        yield note(
            "PYTHONPATH has an empty or relative entry, and so the current folder",
            "take it out: what lies there runs in place of a library of the same name",
        )
    else:
        yield ok(f"{', '.join(PACKAGES)} from {places['monitor']}")


def _folder_of(package: str) -> str:
    """Return the folder in which a package, or a module of its name, lies; empty for none."""
    spec = find_spec(package)
    if spec is None:
        return ""
    return str(Path(next(iter(spec.submodule_search_locations or [spec.origin or ""]))).parent)


def check_cuda() -> Iterator[Finding]:
    """Check whether a GPU can compute scores."""
    from models.inference.student import cuda_state

    state = cuda_state()
    if "built for CPUs" in state:
        yield note(state, "install a torch that is built for CUDA, if the GPU is to be used")
    elif "there is a driver" in state:
        yield note(state, "only if the GPU is to be used")
    else:
        yield ok(state + ("; a CPU is enough" if state.startswith("not") else ""))
    if not installed_versions(["torch"])["torch"]:
        yield ok(f"no torch: only a GPU and training need it (pip install '{PACKAGE}[train]')")


def check_kernels() -> Iterator[Finding]:
    """Check whether the kernels are compiled, and run them."""
    from pipeline.signal.kernels.cache import cache_folder  # refused where others could write to it
    from pipeline.stream.warmup import compile_kernels, compiled_before

    if not compiled_before():
        yield note("not compiled yet", "the first start does it, once; it can take minutes")
        return
    began = time.monotonic()
    compile_kernels()
    took_s = time.monotonic() - began
    yield ok(f"compiled, loaded and run in {took_s:.1f} s; in {cache_folder()}, closed to others")


def check_weights() -> Iterator[Finding]:
    """Verify the weights that ship by their hashes, and score and classify a beat with them."""
    import numpy as np

    from models.files.calibration import load_calibration
    from models.inference.beat_scorer import load_scorer
    from pipeline.constants import MEASURES, WINDOW_BEFORE_R, WINDOW_SAMPLES

    beat = np.zeros((1, WINDOW_SAMPLES), dtype=np.float32)
    beat[0, WINDOW_BEFORE_R - 10 : WINDOW_BEFORE_R + 10] = np.hanning(20)
    scorer = load_scorer(device="cpu")
    scored = scorer.score(beat, np.zeros((1, MEASURES), dtype=np.float32))
    score, threshold = float(scored.scores[0]), load_calibration().threshold
    yield ok(f"{scorer.name}, hash verified; a beat scored {score:.4f}; alarms at {threshold}")
    yield ok(f"{scorer.class_model}, hash verified; a beat classified")
