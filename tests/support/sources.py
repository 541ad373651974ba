"""The project's own source files and their syntax trees, parsed once for all tests."""

import ast
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = ("pipeline", "replay", "models", "monitor")


def modules(*folders: str) -> list[Path]:
    """Return every Python file below the folders; of the four packages where none is named."""
    return sorted(path for name in folders or PACKAGES for path in (ROOT / name).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file; nobody changes it."""
    return ast.parse(path.read_text(encoding="utf-8"))


def relative(path: Path) -> str:
    """Return a path as it is written from the repository's root."""
    return path.relative_to(ROOT).as_posix()


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Return the full names of all that a file imports, wherever in it.

    Of ``from package import name`` both ``package`` and ``package.name``.
    """
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)
