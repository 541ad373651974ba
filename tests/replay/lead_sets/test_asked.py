"""The leads on which an evaluation runs: one, those that are named, or all that add a view."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import LeadError
from replay.headers import header_path, load_header
from replay.lead_sets.asked import asked_indices, has_leads, names_of, read_asked


def record(folder: Path, names: Sequence[str], *, alike: bool = False) -> Path:
    """Write ten seconds of noise in mV with these signals, each its own or all alike; return it."""
    signals = np.random.default_rng(0).normal(0.0, 300.0, (3600, len(names)))
    if alike:
        signals[:] = signals[:, :1]
    signals.astype("<i2").tofile(folder / "r.dat")
    lines = [f"r {len(names)} 360 3600", *(f"r.dat 16 1000/mV 16 0 0 0 0 {name}" for name in names)]
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    return folder / "r"


def test_all_are_the_ecg_leads_at_most_three_the_usual_one_first(tmp_path: Path) -> None:
    """No pressure; without a name the lead that a replay chooses; a number counts from 0."""
    header = load_header(header_path(record(tmp_path, ("V5", "ABP", "V1", "MLII", "V2"))))
    assert asked_indices(header, "all") == (3, 0, 2)
    assert asked_indices(header, None) == (3,)
    assert asked_indices(header, 0) == asked_indices(header, "0") == (0,)
    assert asked_indices(header, "V1,V5") == (2, 0)
    with pytest.raises(LeadError, match="no lead 'aVF'"):
        asked_indices(header, "aVF")


def test_one_lead_is_a_row_of_samples_and_several_lie_side_by_side(tmp_path: Path) -> None:
    """A record says what it lacks before it is read."""
    path = record(tmp_path, ("MLII", "V1"))
    assert names_of(path, "all") == ["MLII", "V1"]
    info, both = read_asked(path, "all")
    assert (info.leads, both.shape) == (("MLII", "V1"), (2, 3600))
    info, one = read_asked(path, "V1")
    assert info.leads == ("V1",)
    assert np.array_equal(one, both[1])
    assert [has_leads(path, asked) for asked in ("V1", "all", "V2")] == [True, True, False]


def test_a_lead_that_adds_no_view_is_left_out_of_all(tmp_path: Path) -> None:
    """The same signal twice is one lead."""
    assert names_of(record(tmp_path, ("II", "V1"), alike=True), "all") == ["II"]
