"""Other views of a record: which lead is the second one, and what has none."""

from pathlib import Path

import numpy as np

from models.data.other_views import second_lead


def write_record(folder: Path, *leads: str) -> Path:
    """Write a record whose leads, as the header has them, hold 1, 2, ... mV."""
    x = np.tile(100 * np.arange(1, len(leads) + 1, dtype="<i2"), (50, 1))
    x.tofile(folder / "a.dat")
    lines = [f"a.dat 16 100/{lead.split()[1]} 16 0 0 0 0 {lead.split()[0]}" for lead in leads]
    (folder / "a.hea").write_text("\n".join([f"a {len(leads)} 250 50", *lines]) + "\n")
    return folder / "a"


def test_the_second_lead_is_what_the_usual_one_is_not(tmp_path: Path) -> None:
    """The usual one is II, wherever it stands; signals that are no ECG are no view of the heart."""
    after, before = tmp_path / "after", tmp_path / "before"
    after.mkdir()
    before.mkdir()

    view = second_lead(write_record(after, "II mV", "ABP mmHg", "V mV"))
    assert view is not None
    np.testing.assert_array_equal(view, np.full(50, 3.0, dtype=np.float32))

    view = second_lead(write_record(before, "V5 mV", "MLII mV"))
    assert view is not None
    np.testing.assert_array_equal(view, np.full(50, 1.0, dtype=np.float32))


def test_one_lead_has_no_other_view(tmp_path: Path) -> None:
    """Nor has one beside a pressure."""
    assert second_lead(write_record(tmp_path, "ECG mV", "ABP mmHg")) is None
