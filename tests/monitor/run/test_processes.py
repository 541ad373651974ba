"""How long a run waits for a process that starts."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from monitor.run import processes
from monitor.run.events import COMPILING, SourceReady
from monitor.run.processes import Child, ChildDiedError

CHILD = """
import sys
from monitor.run.events import COMPILING, Note, SourceReady, announce
announce({note})
open(sys.argv[1]).read()
announce(SourceReady(["demo"]))
"""
"""Waits behind a note until somebody has written to a pipe."""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Return a pipe with a name."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def started(monkeypatch: pytest.MonkeyPatch, pipe: Path, note: str, passes_s: float) -> SourceReady:
    """Start a process that takes so long behind a note; return what it says when it is ready."""
    now = 0.0

    def on_note(text: str) -> None:
        nonlocal now
        now += passes_s
        pipe.write_text("")

    def command(arguments: object) -> tuple[list[str], dict[str, str]]:
        _, environment = found(["--help"])
        return [sys.executable, "-c", CHILD.format(note=note), str(pipe)], environment

    found = processes.child_command
    monkeypatch.setattr(processes, "child_command", command)
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: now))
    child = Child(["source"], None)
    child.start()
    try:
        return child.wait_ready(SourceReady, on_note)
    finally:
        monkeypatch.undo()
        child.terminate()
        child.end(30.0)


def test_kernels_may_take_long_to_compile(monkeypatch: pytest.MonkeyPatch, pipe: Path) -> None:
    """On a slow or busy machine the first start must not end because it takes ten minutes."""
    assert started(monkeypatch, pipe, "COMPILING", 600.0) == SourceReady(["demo"])


def test_a_process_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, pipe: Path
) -> None:
    """A note that asks for no patience gives none; one that does gives no more than it says."""
    for note, passes_s in (('Note("begins")', 200.0), ("COMPILING", 2 * COMPILING.patience_s)):
        with pytest.raises(ChildDiedError, match="no answer within"):
            started(monkeypatch, pipe, note, passes_s)
