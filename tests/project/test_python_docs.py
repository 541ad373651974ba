"""What the documents show of the Python interface runs as it is printed."""

import pytest

import monitor
from tests.project.test_docs import python_blocks
from tests.support.notebook import code_cells, run_cells
from tests.support.paths import ROOT

NOTEBOOK = ROOT / "docs/python.ipynb"
LARGEST = 200_000


def test_the_notebook_runs() -> None:
    """Every cell, in order; the chunks give the beats of the whole; its outputs stay small."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    cells = code_cells(NOTEBOOK)
    values = run_cells([cell["source"] for cell in cells])

    assert isinstance(values[0], monitor.Analysis)
    assert values[-1] == values[-2] > 50
    assert NOTEBOOK.stat().st_size < LARGEST
    assert all(
        cell["outputs"] for cell, value in zip(cells, values, strict=True) if value is not None
    )


def test_the_reference_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks of docs/python.md in one session, and that of the README."""
    run_cells(python_blocks("docs/python.md"))
    shown = capsys.readouterr().out
    assert "s  ventricular beat" in shown
    assert "is over: none for 10 s" in shown

    run_cells(python_blocks("README.md")[:1])
    assert "73.1" in capsys.readouterr().out


def test_every_field_is_documented() -> None:
    """docs/python.md names the fields of the table of beats, of alarms and of rhythms."""
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    found = monitor.analyze("demo")
    fields = [*found.beats.dtype.names, *found.alarms[0].__slots__, *monitor.Rhythm.__slots__]

    assert [name for name in fields if f"`{name}`" not in text] == []
