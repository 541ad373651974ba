"""The structure of the code, checked on its syntax trees."""

import ast
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

LAYERS = ("pipeline", "replay", "models", "monitor")
"""From the lowest to the highest; a package imports itself and lower ones only."""

OWNERS = {
    "zmq": {
        "pipeline/transport/sockets.py",
        "pipeline/transport/auth.py",
        "pipeline/transport/curve.py",
    },
    "msgspec": {
        "pipeline/schema/alert.py",
        "pipeline/schema/messages.py",
        "pipeline/schema/public.py",
        "pipeline/schema/state.py",
        "pipeline/schema/requests.py",
    },
    "sqlite3": {"pipeline/log/store.py", "pipeline/log/reader.py", "pipeline/log/schema.py"},
    "prometheus_client": {"monitor/metrics.py"},
    "numba": {"pipeline/signal/kernels/"},
    "wfdb": {"replay/records.py"},
    "serial": {"replay/serial_device.py", "replay/devices.py"},
    "torch": {"models/"},
    "safetensors": {"models/"},
    "matplotlib": {"models/"},
    "typer": {"monitor/"},
    "rich": {"monitor/"},
}

SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60


def imports_of(path: Path) -> set[str]:
    """Return the absolute names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def relative(path: Path) -> str:
    """Return a path as written in this file."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_packages_import_only_themselves_and_lower_ones(path: Path) -> None:
    """Imports point from monitor over models and replay to pipeline, never back."""
    layer = LAYERS.index(path.relative_to(ROOT).parts[0])
    higher = {*LAYERS[layer + 1 :], "tests", "benchmarks"}

    found = {name for name in imports_of(path) if name.split(".")[0] in higher}

    assert found == set()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_each_heavy_dependency_has_one_owner(path: Path) -> None:
    """Only the owner of a heavy library imports it."""
    for name in imports_of(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or any(relative(path).startswith(owner) for owner in owners), name


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_and_functions_stay_readable(path: Path) -> None:
    """No module is longer than 400 lines, no function body than 60, none has a vague name."""
    text = path.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= LONGEST_MODULE
    assert path.stem not in {"util", "utils", "helper", "helpers", "common", "misc"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            body = node.body[1:] if documented and len(node.body) > 1 else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("layer", LAYERS)
def test_package_inits_are_docstrings_only(layer: str) -> None:
    """Importing a light module of a package never loads a heavy one."""
    tree = ast.parse((ROOT / layer / "__init__.py").read_text(encoding="utf-8"))

    assert [type(node) for node in tree.body] == [ast.Expr]
    assert ast.get_docstring(tree)


def test_every_test_states_its_rule() -> None:
    """Every test function has a docstring."""
    silent = [
        f"{path.name}: {node.name}"
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


def test_error_tree_is_drawn_as_it_is() -> None:
    """The docstring of pipeline.errors shows every error, below its parent."""
    from pipeline import errors

    drawn = [
        (len(line) - len(line.lstrip()), line.split()[0])
        for line in (errors.__doc__ or "").splitlines()
        if line.startswith("    ") and line.split()
    ]
    parents: dict[str, str] = {}
    for at, (depth, name) in enumerate(drawn):
        above = [n for d, n in drawn[:at] if d < depth]
        parents[name] = above[-1] if above else "Exception"
    actual = {
        name: kind.__base__.__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }

    assert parents == actual


def test_python_is_recent_enough() -> None:
    """The tests run on a Python that the project supports."""
    assert sys.version_info >= (3, 11)
