"""When a process is started again, and what is reported; most processes here are fakes."""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from monitor.run.deaths import DeathReporter
from monitor.run.events import HubReady
from monitor.run.processes import Child, ChildDiedError, Refused
from monitor.run.run_end import RunEnd, end_of_run
from monitor.run.supervised import FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S, Supervised
from monitor.run.supervisor import System
from pipeline.alarms.kinds import STEADY_S
from pipeline.client import Subscriber
from pipeline.errors import ConfigError
from pipeline.schema.public import Alert
from pipeline.schema.requests import Died
from tests.support.running import SUPERVISOR, running_hub, subscriber, until


class FakeChild:
    """Ends when the test sets an exit code."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.starts: list[tuple[str, ...]] = []
        self.cannot_start = False
        self.killed_early = 0
        """So many starts end before it is ready."""

    def start(self, *further: str) -> None:
        """Run again."""
        if self.cannot_start:
            raise OSError("no more processes")
        self.starts.append(further)
        self.code = None

    def exit_code(self) -> int | None:
        """Return the code that the test has set."""
        return self.code

    def wait_ready(self, kind: type[HubReady], on_note: Callable[[str], None]) -> HubReady:
        """Be ready, or be killed."""
        if self.killed_early:
            self.killed_early -= 1
            self.code = -9
            raise ChildDiedError("killed")
        return kind(endpoints={}, log="", last_seq=0)


def supervised(**rules: Any) -> tuple[Supervised, FakeChild]:
    """Return a process that has just been started, at time 0."""
    child = FakeChild()
    process = Supervised("scorer", child, **rules)  # type: ignore[arg-type]
    process.start(0.0, "--first")
    return process, child


def delays(process: Supervised, child: FakeChild, lives_s: Iterable[float]) -> list[float]:
    """Let the process run for each of these times; return the delay before each restart."""
    waited, now = [], 0.0
    for life_s in lives_s:
        now += life_s
        child.code, starts = -9, len(child.starts)
        assert process.check(now) is not None
        died_at = now
        while len(child.starts) == starts:
            now += 0.05
            assert process.check(now) is None
        waited.append(now - died_at)
    return waited


def test_the_delay_doubles_up_to_five_seconds_until_a_steady_run() -> None:
    """It is 0.1 s at first and after every run of ten seconds."""
    process, child = supervised(restart_arguments=("--again",))
    waited = delays(process, child, [1.0] * 8 + [STEADY_S + 0.1, 1.0])

    expected = [min(FIRST_BACK_OFF_S * 2**i, LONGEST_BACK_OFF_S) for i in range(8)] + [0.1, 0.2]
    assert waited == pytest.approx(expected, abs=0.06)
    assert process.restarts == 10
    assert child.starts == [("--first",)] + [("--again",)] * 10


def test_a_death_is_reported_once_with_its_cause_and_its_number() -> None:
    """Its callback is called as well."""
    cleaned: list[int] = []
    process, child = supervised(on_death=lambda: cleaned.append(1))
    child.code = -11
    assert process.check(1.0) == Died(process="scorer", code=-11, times=1)
    assert process.check(1.01) is None
    process.check(1.2)
    child.code = 1
    assert process.check(1.3) == Died(process="scorer", code=1, times=2)
    assert len(cleaned) == 2


def test_refused_configuration_ends_the_run_only_at_the_first_start() -> None:
    """A process that has run before is started again: the cause may pass."""
    process, child = supervised()
    child.code = 2
    with pytest.raises(Refused):
        process.check(0.5)

    process, child = supervised()
    child.code = -9
    process.check(0.5)
    process.check(0.7)
    child.code = 2
    assert process.check(0.8) == Died(process="scorer", code=2, times=2)


@pytest.mark.parametrize("code", [0, 2])
def test_source_that_is_done_or_failed_for_good_is_left_alone(code: int) -> None:
    """0 is the end of the record, 2 a device that was unplugged."""
    process, child = supervised(finishes=True)
    child.code = code
    assert process.check(1.0) is None
    assert process.finished
    assert process.check(100.0) is None
    assert len(child.starts) == 1


def test_source_that_was_killed_is_started_again() -> None:
    """It had not finished."""
    process, child = supervised(finishes=True, restart_arguments=("--resume",))
    child.code = -9
    assert process.check(1.0) is not None
    assert process.check(1.2) is None
    assert child.starts[1:] == [("--resume",)]


def test_process_that_is_killed_before_it_is_ready_is_started_again() -> None:
    """With the same arguments; its deaths are reported like others."""
    child = FakeChild()
    child.killed_early = 2
    process = Supervised("hub", child, restart_arguments=("--again",))  # type: ignore[arg-type]
    ready = process.start_until_ready(HubReady, lambda note: None, "--first")

    assert ready.last_seq == 0
    assert child.starts == [("--first",)] * 3
    assert process.restarts == 2
    assert [process.check(1.0) for _ in range(3)] == [
        Died(process="hub", code=-9, times=1),
        Died(process="hub", code=-9, times=2),
        None,
    ]


def test_process_that_is_never_ready_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is killed five times in a row, or refuses its configuration."""
    monkeypatch.setattr("monitor.run.supervised.wait_s", lambda seconds: None)
    child = FakeChild()
    child.killed_early = 5
    with pytest.raises(ChildDiedError):
        Supervised("hub", child).start_until_ready(HubReady, lambda note: None)  # type: ignore[arg-type]

    assert len(child.starts) == 5


def test_a_hub_that_is_killed_while_it_starts_does_not_end_the_run(tmp_path: Path) -> None:
    """The next one serves, and its log has the reason."""
    killed: list[int] = []
    original = Child.start

    def start_and_kill(self: Child, *further: str) -> None:
        original(self, *further)
        if self._arguments[0] == "hub" and not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Child, "start", start_and_kill)
        with (
            System(port=0, log=tmp_path / "log", on_note=lambda note: None) as system,
            Subscriber(
                system.endpoints["alerts"], system.endpoints["replay"], from_seq=1
            ) as listener,
        ):
            alerts: list[Alert] = []

            def reported() -> bool:
                system.check()
                alerts.extend(m for m in listener.receive(0.05) if isinstance(m, Alert))
                return bool(alerts)

            until(reported)
            assert system.restarts == {"hub": 1}

    assert (alerts[0].kind, alerts[0].reason) == (
        "process_died",
        "hub was killed by signal 9; started again",
    )


def test_a_hub_knows_of_the_end_of_its_run_before_the_source_is_stopped() -> None:
    """So does one that is started again, and one whose run was killed."""
    run_end = RunEnd()
    ending = end_of_run(run_end.descriptor)
    assert not ending()

    class FakeSource(FakeChild):
        def terminate(self) -> None:
            """Note what a hub knows at this moment."""
            self.starts.append(("ending", str(ending())))

    child = FakeSource()
    system = System.__new__(System)
    system._lock, system._run_end = threading.Lock(), run_end
    system._all = [Supervised("source", child)]  # type: ignore[arg-type]
    system.stop_source()

    assert child.starts == [("ending", "True")]
    assert end_of_run(run_end.descriptor)()
    run_end.close()
    assert not end_of_run(None)()
    with pytest.raises(ConfigError, match="--run-end"):
        end_of_run(10**6)


def test_process_that_cannot_be_started_is_tried_again() -> None:
    """A machine may be out of processes or memory for a moment."""
    process, child = supervised()
    child.code, child.cannot_start = -9, True
    process.check(1.0)
    for moment in range(100):
        process.check(1.0 + moment / 10)
    assert len(child.starts) == 1
    child.cannot_start = False
    process.check(100.0)
    assert (len(child.starts), process.restarts) == (2, 1)


def test_deaths_are_reported_once_to_a_hub_that_starts_later(tmp_path: Path) -> None:
    """Until a hub listens they are queued, and then sent in order."""
    with running_hub(tmp_path / "log") as hub, subscriber(hub) as listener:
        reporter = DeathReporter(hub.endpoints["control"], lambda: 0.0, SUPERVISOR)
        try:
            for times in (1, 2, 3):
                reporter.add(Died(process="hub", code=-9, times=times))
            alerts: list[Alert] = []

            def all_reported() -> bool:
                reporter.update()
                alerts.extend(m for m in listener.receive(0.05) if isinstance(m, Alert))
                return len(alerts) >= 3 and not reporter.unreported

            until(all_reported)
        finally:
            reporter.close()

    assert [alert.count for alert in alerts] == [1, 2, 3]
    assert {alert.kind for alert in alerts} == {"process_died"}
