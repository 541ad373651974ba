"""Runs the cells of a notebook without a kernel: the code is plain Python.

``python -m tests.support.notebook docs/python.ipynb`` writes their outputs into the file.
"""

import ast
import base64
import json
import sys
from pathlib import Path
from typing import Any


def code_cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells with code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_cells(sources: list[str]) -> list[Any]:
    """Run cells in one namespace; return the value of each one's last expression, or None."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    values = []
    for number, source in enumerate(sources):
        tree, last = ast.parse(source, f"cell {number}"), None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        exec(compile(tree, f"cell {number}", "exec"), namespace)
        shown = None if last is None else eval(compile(last, f"cell {number}", "eval"), namespace)
        values.append(shown)
    return values


def output_of(value: Any, count: int) -> list[dict[str, Any]]:
    """Return what a notebook shows of a value."""
    if value is None:
        return []
    data: dict[str, Any] = {"text/plain": repr(value)}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = value._repr_html_()
    if hasattr(value, "_repr_png_"):
        data["image/png"] = base64.b64encode(value._repr_png_()).decode()
    return [
        {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data}
    ]


def main(path: Path) -> None:
    """Run a notebook, and write what its cells show into it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    values = run_cells([cell["source"] for cell in cells])
    for count, (cell, value) in enumerate(zip(cells, values, strict=True), 1):
        cell["execution_count"], cell["outputs"] = count, output_of(value, count)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
