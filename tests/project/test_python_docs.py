"""What the documents show of the Python interface runs as it is printed."""

import pytest

import monitor
from tests.project.test_docs import python_blocks
from tests.support.notebook import code_cells, run_cells
from tests.support.paths import ROOT

pytestmark = pytest.mark.system

NOTEBOOK = ROOT / "docs/python.ipynb"
LARGEST = 200_000


def test_the_notebook_runs() -> None:
    """Every cell, in order; the chunks give the beats of the whole; its outputs stay small."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    cells = code_cells(NOTEBOOK)
    _, shown = run_cells([cell["source"] for cell in cells])

    texts = [one[0]["data"]["text/plain"] for one in shown]
    assert texts[0].startswith("<Analysis of demo: 120 s, ")
    assert int(texts[-1]) == int(texts[-2]) > 50
    assert any("image/png" in one[0]["data"] for one in shown)
    assert NOTEBOOK.stat().st_size < LARGEST
    assert [bool(cell["outputs"]) for cell in cells] == [True] * len(shown)


def test_the_reference_runs() -> None:
    """The block of the README and those of docs/python.md, in one session."""
    printed, _ = run_cells([*python_blocks("README.md")[:1], *python_blocks("docs/python.md")])

    assert printed.startswith("73.1 ")
    assert "s  ventricular beat" in printed
    assert "is over: none for 10 s" in printed


def test_every_field_is_documented() -> None:
    """docs/python.md names the fields of the table of beats, of alarms and of rhythms."""
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    found = monitor.analyze("demo")
    fields = [*found.beats.dtype.names, *found.alarms[0].__slots__, *monitor.Rhythm.__slots__]

    assert [name for name in fields if f"`{name}`" not in text] == []
