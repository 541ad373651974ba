"""Several processes for many things: the results in order, and none of the processes left."""

import io
import os
import signal
import sys
from pathlib import Path

import pytest

from monitor.run import workers
from monitor.run.workers import in_order, prepare_kernels, records_progress
from pipeline.errors import InputError, MonitorError
from tests.support.running import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this process does the work"),
]


def squared(n: int) -> int:
    """Fail for 13."""
    if n == 13:
        raise InputError("13")
    return n * n


def test_results_come_in_order_from_several_processes() -> None:
    """However long each takes, and however many there are."""
    with in_order(lambda n: (n, os.getpid()), range(40), 3) as results:
        got = list(results)
    assert [n for n, _ in got] == list(range(40))
    assert os.getpid() not in {pid for _, pid in got}


def test_one_job_is_this_process() -> None:
    """Nothing is started for it."""
    with in_order(lambda n: os.getpid(), range(3), 1) as results:
        assert set(results) == {os.getpid()}


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_fails_is_raised_in_its_turn(jobs: int) -> None:
    """What comes before it has been given."""
    with in_order(squared, range(20), jobs) as results:
        got = [next(results) for _ in range(13)]
        with pytest.raises(InputError, match="13"):
            next(results)
    assert got == [n * n for n in range(13)]


def test_a_killed_process_is_an_error_in_one_line() -> None:
    """No result is waited for that nobody will give."""
    with (
        in_order(lambda n: os.kill(os.getpid(), signal.SIGKILL), range(4), 2) as results,
        pytest.raises(MonitorError, match="was killed"),
    ):
        next(results)


def test_a_process_that_is_killed_while_it_has_nothing_to_do_is_the_same(tmp_path: Path) -> None:
    """A command whose output lacks records does not end as one whose reader has seen enough."""
    done = tmp_path / "pids"

    def first_kills_the_other(n: int) -> None:
        if n:
            with done.open("a") as file:
                file.write(f"{os.getpid()}\n")
            return
        # The other does what may be done ahead of the first, and then waits for its pipe.
        until(lambda: done.exists() and len(done.read_text().split()) == 7)
        other = int(done.read_text().split()[0])
        until(lambda: state(other) == "S")
        os.kill(other, signal.SIGKILL)
        until(lambda: not alive(other))

    with (
        in_order(first_kills_the_other, range(40), 2) as results,
        pytest.raises(MonitorError, match="was killed"),
    ):
        list(results)


def test_no_process_outlives_the_one_that_started_it(tmp_path: Path) -> None:
    """Also where that one was killed, or interrupted in the middle."""
    begun = tmp_path / "pids"

    def noted(n: int) -> None:
        with begun.open("a") as file:
            file.write(f"{os.getpid()}\n")

    parent = os.fork()
    if not parent:
        with in_order(noted, range(100_000), 2) as results:
            for _ in results:
                if len(set(begun.read_text().split())) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)
    os.waitpid(parent, 0)
    pids = {int(line) for line in begun.read_text().split()}
    assert len(pids) == 2
    until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    """Return whether a process runs."""
    return state(pid) not in ("Z", "")


def state(pid: int) -> str:
    """Return the state of a process as a letter: S where it waits; none where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def test_a_first_start_says_what_takes_minutes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line on stderr, once; where the kernels are compiled there is none."""
    compiled: list[bool] = []
    monkeypatch.setattr(workers, "compiled_before", lambda: bool(compiled))
    monkeypatch.setattr(workers, "compile_kernels", lambda: compiled.append(True))
    prepare_kernels(1)
    assert capsys.readouterr().err.count("compiling the signal kernels, once") == 1
    prepare_kernels(1)
    assert (capsys.readouterr().err, compiled) == ("", [True])
    prepare_kernels(2)
    assert compiled == [True, True]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """How many records are done, and of how many."""
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setenv("TERM", "xterm")

    with records_progress() as progress:
        task = progress.add_task("records", total=48)
        progress.advance(task, 7)
        progress.refresh()

    assert ("7/48" in written.getvalue()) == terminal
    assert terminal or not written.getvalue()
