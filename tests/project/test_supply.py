"""What is installed is pinned by hash, as wheels; and nothing is fetched while the program runs."""

import re
import tomllib

from tests.support.paths import ROOT
from tests.support.sources import imports_of, modules, relative

LOCK = (ROOT / "requirements.lock").read_text()
FETCHES = ("urllib.request", "http.client", "ftplib", "requests", "aiohttp", "httpx", "urllib3",
           "smtplib", "huggingface_hub", "fsspec", "torch.hub")  # fmt: skip
WITHOUT_HASH = {"torch"}
"""Its builds with and without CUDA are different files of one version, from different places."""


def plain(name: str) -> str:
    """Return the name of a package as all spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, tuple[str, list[str]]]:
    """Return version and hashes of each package in the lock."""
    found = {}
    for entry in re.split(r"\n(?=[A-Za-z])", LOCK.replace("\\\n", " ")):
        name, version = re.match(r"([A-Za-z0-9_.-]+)==(\S+)", entry).groups()  # type: ignore[union-attr]
        found[plain(name)] = (version, re.findall(r"--hash=sha256:([0-9a-f]{64})(?!\S)", entry))
    return found


def test_every_package_is_locked_with_its_hashes() -> None:
    """All of constraints.txt, at that version; ``make lock`` after a change."""
    lines = (ROOT / "constraints.txt").read_text().split()
    pinned = {plain(name): version for name, _, version in (line.partition("==") for line in lines)}

    found = locked()
    assert all(hashes for _, hashes in found.values())
    assert {n: v for n, (v, _) in found.items() if n in pinned} == {
        n: v for n, v in pinned.items() if n not in WITHOUT_HASH
    }


def test_every_dependency_is_in_the_lock() -> None:
    """What pyproject.toml asks for, and what builds the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    wanted = project["project"]["dependencies"] + project["build-system"]["requires"]
    wanted += [one for extra in extras for one in extra]
    names = {plain(re.match(r"[A-Za-z0-9_.-]+", one)[0]) for one in wanted}  # type: ignore[index]

    assert names - set(locked()) == WITHOUT_HASH


def test_make_installs_wheels_of_those_hashes_alone() -> None:
    """No source distribution is built, and no dependency slips past the lock."""
    makefile = (ROOT / "Makefile").read_text()

    assert "--require-hashes --no-deps -r requirements.lock" in makefile
    assert makefile.count("pip install") == makefile.count("pip install --quiet "
        "--disable-pip-version-check --only-binary :all:")  # fmt: skip


def test_only_fetch_fetches() -> None:
    """No other module knows how to get something from the network."""
    able = {
        relative(path) for path in modules() if any(n.startswith(FETCHES) for n in imports_of(path))
    }

    assert able == {"monitor/commands/fetch.py", "monitor/bridges/http.py"}  # which posts alerts


def test_all_that_ships_is_packaged() -> None:
    """Each folder of weights is in the package, that of the models of DS1 alone as well."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = data["package-data"]["models"]
    weights = ROOT / "models" / "weights"
    folders = {weights / "ds1", *(path for path in weights.rglob("*") if path.is_dir())}

    assert {"weights/*"} | {
        f"{folder.relative_to(ROOT / 'models').as_posix()}/*" for folder in folders
    } == set(patterns)
