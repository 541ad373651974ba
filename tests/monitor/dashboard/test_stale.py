"""The dashboard says so within two seconds, whichever process stops."""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.monitor.run.test_system import command, environment
from tests.support.limits import promised
from tests.support.pseudo_terminal import PseudoTerminal

pytestmark = pytest.mark.system

START_S = 60.0
SAYS_S = 2.0 + 0.25
"""What is promised, and one frame: two cores carry the whole system and the test."""

LIVE = re.compile(r"NORMAL|LEARNING")


def stages(pid: int) -> dict[str, int]:
    """Return the stages that ``pid`` and its children started, by name."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"monitor" in words:
                found[words[words.index(b"monitor") + 1].decode()] = int(child)
            found |= stages(int(child))
    return found


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PseudoTerminal]:
    """A live monitor on a pseudo-terminal."""
    state = tmp_path_factory.mktemp("state")
    live = command("live", "--device", "synthetic:?bpm=90", "--port", "0")
    with PseudoTerminal(live, environment=environment(state)) as terminal:
        terminal.until(lambda screen: LIVE.search(screen) is not None, START_S)
        yield terminal


def is_live(screen: str) -> bool:
    """Return whether the screen shows a stream that is analysed."""
    return bool(LIVE.search(screen)) and not re.search("STALE|NO CONTACT|NOT ANALYS", screen)


def silent(screen: str) -> bool:
    """Return whether the whole screen shows lost contact with the hub."""
    return "NO CONTACT WITH THE HUB" in screen and "DATA STALE" in screen


@promised(SAYS_S)
@pytest.mark.parametrize(
    ("stage", "shown"),
    [
        ("source", lambda screen: "DATA STALE" in screen),
        ("hub", silent),
        ("score", lambda screen: "NOT ANALYSABLE" in screen and "no scorer answers" in screen),
    ],
)
def test_a_stopped_process_is_seen_within_two_seconds_and_its_return_too(
    terminal: PseudoTerminal,
    record_property: Callable[[str, object], None],
    stage: str,
    shown: Callable[[str], bool],
    limit_s: float,
) -> None:
    """After SIGSTOP the screen says that nothing is live; after SIGCONT it is live (R8)."""
    terminal.until(is_live, START_S)
    pid = stages(terminal.process.pid)[stage]
    os.kill(pid, signal.SIGSTOP)
    try:
        seconds = terminal.until(shown, START_S)
        frozen = terminal.screen
        terminal.until(lambda screen: screen != frozen, START_S)  # its clock goes on
    finally:
        os.kill(pid, signal.SIGCONT)
    terminal.until(is_live, START_S)

    record_property("seconds", round(seconds, 2))
    assert seconds <= limit_s
