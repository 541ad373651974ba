"""The structure of the code, checked on its syntax trees. Each test lists all offenders."""

import ast
import sys
from pathlib import Path

from tests.support.sources import PACKAGES, imports_of, modules, relative, tree_of

ORDER = (
    "pipeline.constants",
    "pipeline.errors",
    "pipeline.files",
    "pipeline.schema",
    "pipeline.transport",
    "pipeline.log",
    "pipeline.signal",
    "pipeline.scoring",
    "pipeline.alarms",
    "pipeline.trends",
    "pipeline.stream",
    "pipeline.clients",
    "pipeline.client",
    "pipeline.hub",
    "pipeline.kafka",
    "replay",
    "models.files",
    "models.nets",
    "models.measure",
    "models.ec57",
    "models.inference",
    "models.data",
    "models.training",
    "models.evaluation.stress",
    "models.evaluation.alarms",
    "models.evaluation.protocols",
    "models.evaluation.report",
    "models.evaluation.cards",
    "models.experiments",
    "monitor.text",
    "monitor.urgency",
    "monitor.machine_faults",
    "monitor.log_format",
    "monitor.metrics",
    "monitor.alert_lines",
    "monitor.alert_table",
    "monitor.inputs",
    "monitor.api",
    "monitor.report",
    "monitor.dashboard",
    "monitor.run",
    "monitor.stages",
    "monitor.bridges",
    "monitor.kafka",
    "monitor.wall",
    "monitor.checks",
    "monitor.commands",
    "monitor.measure",
    "monitor.cli",
    "monitor.__main__",
)
"""Folders, and modules beside them, from the lowest to the highest: each imports itself and lower
ones only, so there is no cycle."""

APART = {
    ("pipeline.hub", "pipeline.clients"),
    ("pipeline.clients", "pipeline.log"),
    ("pipeline.clients", "pipeline.stream"),
    ("pipeline.signal", "pipeline.log"),
    ("pipeline.signal", "pipeline.transport"),
    ("pipeline.scoring", "pipeline.log"),
    ("pipeline.scoring", "pipeline.transport"),
    ("pipeline.alarms", "pipeline.log"),
    ("pipeline.alarms", "pipeline.transport"),
    ("pipeline.stream", "pipeline.log"),
    ("pipeline.stream", "pipeline.transport"),
}
"""Pairs of which the first must not import the second either: the stream is pure, and the two ends
of a socket share nothing but the schema."""

OWNERS = {
    "zmq": ("pipeline/transport/",),
    "msgspec": ("pipeline/schema/", "models/files/strict_json.py"),
    "sqlite3": ("pipeline/log/",),
    "confluent_kafka": ("pipeline/kafka/",),
    "prometheus_client": ("monitor/metrics.py",),
    "numba": ("pipeline/signal/kernels/",),
    "llvmlite": ("pipeline/signal/kernels/",),
    "wfdb": ("replay/lead_sets/frames.py",),
    "edfio": ("replay/files/edf.py", "replay/recording/edf.py"),
    "ecgdatakit": ("replay/files/decoder.py",),
    "bleak": ("replay/devices/ble_",),
    "brainflow": ("replay/devices/brainflow_board.py",),
    "serial": ("replay/devices/lines/",),
    "torch": ("models/",),
    "sklearn": ("models/training/",),
    "safetensors": ("models/",),
    "matplotlib": ("models/", "monitor/api/"),
    "pandas": ("monitor/api/beat_table.py",),
    "paho": ("monitor/bridges/mqtt.py",),
    "pyarrow": ("replay/files/decoder.py", "monitor/alert_table.py"),
    "pylsl": ("replay/devices/lsl_stream.py", "monitor/bridges/lsl.py"),
    "starlette": ("monitor/wall/",),
    "websockets": ("monitor/wall/",),
    "uvicorn": ("monitor/wall/",),
    "typer": ("monitor/",),
    "rich": ("monitor/",),
    "textual": ("monitor/dashboard/terminal/",),
}
"""Who may import a heavy library."""

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
MOST_MODULES = 15
"""In one folder, its ``__init__`` not counted."""

ACTING_INITS = {"pipeline/signal/kernels/__init__.py", "monitor/__init__.py"}
"""The one chooses the cache of compiled kernels before the first kernel is declared; the other
imports what Python users name when they first name it."""

VAGUE = {"util", "utils", "helper", "helpers", "common", "misc"}


def room_of(name: str) -> str | None:
    """Return the entry of `ORDER` that a module belongs to, the most exact one."""
    fitting = [room for room in ORDER if name == room or name.startswith(f"{room}.")]
    return max(fitting, key=len, default=None)


def name_of(path: Path) -> str:
    """Return the name under which a file is imported."""
    return relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_folders_import_only_lower_ones() -> None:
    """Imports point down the order, so there is no cycle; what is pure knows no socket, no file."""
    offenders = []
    for path in modules():
        own = room_of(name_of(path))
        if own is None and path.stem != "__init__":
            offenders.append(f"{relative(path)} has no place in the order")
        for name in imports_of(path):
            other = "tests" if name.split(".")[0] == "tests" else room_of(name)
            if own is None or other is None or own == other:
                continue
            if other not in ORDER[: ORDER.index(own)] or (own, other) in APART:
                offenders.append(f"{relative(path)} imports {name}")

    assert sorted(offenders) == []


def test_each_heavy_dependency_has_one_owner() -> None:
    """Only the owner of a heavy library imports it."""
    offenders = [
        f"{relative(path)} imports {name}"
        for path in modules()
        for name in imports_of(path)
        if (owners := OWNERS.get(name.split(".")[0])) and not relative(path).startswith(owners)
    ]

    assert sorted(offenders) == []


def test_modules_and_functions_stay_readable() -> None:
    """No module, function or folder is too long, and no module has a vague name."""
    offenders = []
    for path in modules():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_MODULE:
            offenders.append(f"{relative(path)} has {lines} lines")
        if path.stem in VAGUE:
            offenders.append(f"{relative(path)} has a vague name")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = body_lines(node)
                if length > LONGEST_FUNCTION:
                    offenders.append(f"{relative(path)}: {node.name} has {length} lines")
    for folder in {path.parent for path in modules()}:
        count = sum(path.stem != "__init__" for path in folder.glob("*.py"))
        if count > MOST_MODULES:
            offenders.append(f"{relative(folder)} has {count} modules")

    assert sorted(offenders) == []


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body, its docstring not counted."""
    documented = ast.get_docstring(function) is not None and len(function.body) > 1
    body = function.body[1:] if documented else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_package_inits_are_docstrings_only() -> None:
    """Importing a light module of a package never loads a heavy one."""
    offenders = [
        relative(path)
        for path in modules(*PACKAGES, "tests")
        if path.stem == "__init__"
        and relative(path) not in ACTING_INITS
        and not (len(tree_of(path).body) == 1 and ast.get_docstring(tree_of(path)))
    ]

    assert offenders == []


def test_every_test_states_its_rule() -> None:
    """Every test function has a docstring, and its module a name that pytest collects."""
    offenders = [
        f"{relative(path)}: {node.name}"
        for path in modules("tests")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not (ast.get_docstring(node) and path.name.startswith("test_"))
    ]

    assert offenders == []


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
