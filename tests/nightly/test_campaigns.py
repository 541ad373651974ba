"""The campaigns of `make nightly`, for a moment: they count what they say they count."""

import random
from pathlib import Path

import pytest

from tests.nightly import cluster
from tests.nightly.hostile_bytes import TARGETS, Figures
from tests.nightly.mutation import mutated
from tests.nightly.targets import UndetectedError

pytestmark = pytest.mark.system


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("kind", TARGETS)
def test_what_is_changed_was_accepted_before(kind: str, tmp_path: Path) -> None:
    """Otherwise a refusal says nothing about the change; a few changes are refused or harmless."""
    chance = random.Random(1)
    target = TARGETS[kind](tmp_path, chance)
    for seed, read in target.seeds:
        assert read(seed)
    figures = Figures()
    for _ in range(20):
        seed, read = chance.choice(target.seeds)
        figures.add((target.change or mutated)(seed, chance), read)
    assert figures.refused + figures.accepted == figures.cases == 20
    assert not figures.faults


def test_what_goes_wrong_is_counted() -> None:
    """An error that is not ours is a fault, and damage that nobody notices is undetected."""

    def fails(data: bytes) -> bool:
        raise UndetectedError("read otherwise") if data else IndexError("no byte")

    figures = Figures()
    figures.add(b"", fails)
    figures.add(b"xy", fails)
    assert (figures.bytes, figures.cases, figures.undetected) == (2, 2, 1)
    assert figures.faults == ["IndexError: no byte", "read otherwise"]


def test_a_cluster_that_is_struck_at_random_gives_each_alert_once() -> None:
    """A few strikes of the campaign; `python -m tests.nightly cluster` has as many as wanted."""
    pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
    figures = cluster.Figures()
    cluster.run_once(3, cluster.SHORT, figures, most=6)
    assert figures.failed == []
    assert (figures.missing, figures.extra, figures.gaps) == (0, 0, 0)
    assert figures.compared
    assert figures.strikes.total() >= 3
