"""When a process is started again, and what is reported; the processes here are fakes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from monitor.run.processes import Refused
from monitor.run.supervisor import FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S, DeathReporter, Supervised
from pipeline.alarms.kinds import STEADY_S
from pipeline.schema.public import Alert
from pipeline.schema.requests import Died
from tests.support.running import SUPERVISOR, running_hub, subscriber, until


class FakeChild:
    """Ends when the test sets an exit code."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.starts: list[tuple[str, ...]] = []
        self.cannot_start = False

    def start(self, *further: str) -> None:
        """Run again."""
        if self.cannot_start:
            raise OSError("no more processes")
        self.starts.append(further)
        self.code = None

    def exit_code(self) -> int | None:
        """Return the code that the test has set."""
        return self.code


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
