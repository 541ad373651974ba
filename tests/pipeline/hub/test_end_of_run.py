"""A hub whose run ends: the run stops the sources, and waits for the last beats."""

from pathlib import Path

import pytest

from pipeline.alarms.system import STALE_S
from tests.support.hub_by_hand import chunk, hub_by_hand


@pytest.mark.parametrize("ends", [True, False])
def test_sources_that_a_run_stops_are_no_alarm(tmp_path: Path, ends: bool) -> None:
    """Scores may be longer under way than a source may be silent; any other silence is one."""
    ending = False
    with hub_by_hand(tmp_path / "log", ending=lambda: ending) as one:
        one.accepted(one.connect("ingest"), chunk(1))
        ending = ends  # before the source is stopped
        for _ in range(4):
            one.later_s += STALE_S / 2
            one.turns()
        kinds = {alert.kind for alert in one.hub._log.active_alarms()}
        assert kinds == (set() if ends else {"no_data"})
