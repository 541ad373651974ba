"""Runs the cells of a notebook, or the blocks of a document, as one program of its own.

No kernel is needed: the code is plain Python. ``python -m tests.support.notebook
docs/python.ipynb`` writes into the file what its cells show.
"""

import ast
import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_MARK = "--- what the cells show ---"


def code_cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells with code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_cells(sources: list[str]) -> tuple[str, list[list[dict[str, Any]]]]:
    """Run cells in order; return what they printed, and the outputs of each.

    Raises:
        subprocess.CalledProcessError: one of them failed.
    """
    parts = ["_shown = []"]
    for source in sources:
        body = ast.parse(source).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        parts += map(ast.unparse, body)
        parts.append(f"_shown.append({ast.unparse(last) if last else 'None'})")
    parts += [
        "import json",
        "from tests.support.notebook import output_of",
        f"print({_MARK!r})",
        "print(json.dumps([output_of(one, n) for n, one in enumerate(_shown, 1)]))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(parts)],
        stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    printed, _, shown = done.stdout.partition(f"{_MARK}\n")
    return printed, json.loads(shown)


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
    _, outputs = run_cells([cell["source"] for cell in cells])
    for count, (cell, shown) in enumerate(zip(cells, outputs, strict=True), 1):
        cell["execution_count"], cell["outputs"] = count, shown
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
