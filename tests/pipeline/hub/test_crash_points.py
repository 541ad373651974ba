"""T11: a hub that dies at any point of its loop loses nothing and publishes nothing twice."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.log.store import AlertLog
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.chaos import History, HubProcess, eventually_dead, feed_stream, oracle, scorer_of
from tests.support.programs.hub_process import POINTS
from tests.support.running import thread, until

pytestmark = pytest.mark.system

EXPECTED_DEATHS = 3


@pytest.fixture(scope="module")
def signal() -> NDArray[np.float32]:
    """Three minutes of a patient with ectopic beats and pauses."""
    patient = SyntheticPatient(PatientConfig(ectopic=0.1, pause=0.02, seed=7))
    return patient.generate(180 * 360).samples


@pytest.fixture(scope="module")
def expected(signal: NDArray[np.float32]) -> dict[str, tuple[list[tuple[object, ...]], int]]:
    """Return beats and alerts of both streams in one process."""
    return {name: oracle(name, signal) for name in ("a", "b")}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    """A hub that runs, and is killed afterwards."""
    process = HubProcess(tmp_path / "log")
    process.start()
    yield process
    process.kill()


QUICK = [("commit", "after"), ("acknowledge", "after")]
SLOW = [(p, w) for p in sorted(POINTS) for w in ("before", "after") if (p, w) not in QUICK]


@pytest.mark.parametrize(
    ("point", "when"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]
)
def test_death_at_any_point_changes_nothing(
    hub: HubProcess,
    signal: NDArray[np.float32],
    expected: dict[str, tuple[list[tuple[object, ...]], int]],
    point: str,
    when: str,
) -> None:
    """Killed three times at one point, the same beats and alerts as never killed."""
    history = History(hub)
    hub.kill()
    few = {"strips": 2, "snapshot": 3, "aside": 6, "commit": 12, "within": 12}
    passings = few.get(point, 40)
    hub.restart(f"{point}:{when}:{passings}")
    with (
        scorer_of(hub),
        history.subscriber,
        thread(lambda stop: feed_stream(hub, "a", signal, step=97, stop=stop)),
        thread(lambda stop: feed_stream(hub, "b", signal, step=250, stop=stop)),
    ):
        for death in range(EXPECTED_DEATHS):
            eventually_dead(hub)
            last = death == EXPECTED_DEATHS - 1
            hub.restart("" if last else f"{point}:{when}:{passings + death}")
        history.until_ended(["a", "b"])
    history.check(expected)


def test_a_hub_reports_the_death_of_the_one_before_and_not_its_end(
    hub: HubProcess,
) -> None:
    """Without a supervisor nothing else would: an alarm, once a hub is back."""
    history = History(hub)
    with history.subscriber:
        hub.kill()
        hub.restart()
        until(lambda: history.receive() or bool(history.alerts))
        [alert] = history.alerts
        assert (alert.stream, alert.kind, alert.state) == ("", "process_died", "on")
        assert alert.reason == "hub did not end in order; it goes on where its log ends"
    hub.stop()
    with AlertLog(hub.log) as log:
        assert not log.interrupted
