"""What the command line names is found, and what was chosen is said."""

from pathlib import Path

import pytest

from monitor.inputs import find_leads, report_leads


def test_which_lead_was_taken_is_one_line_for_records_with_the_same_signals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of forty-eight records of one kind is no forty-eight lines."""
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / f"{name}.dat").write_bytes(bytes(8000))
        second = "r.dat 16 200/mV 16 0 0 0 0 ECG\n" if name != "e" else ""
        header = f"{name} {1 + bool(second)} 360 2000\nr.dat 16 200/uV 16 0 0 0 0 C3-A2\n{second}"
        if name == "e":
            header = header.replace("C3-A2", "II")
        (tmp_path / f"{name}.hea").write_text(header.replace("r.dat", f"{name}.dat"))

    found = find_leads([str(tmp_path)], None).leads
    report_leads(found)

    assert [one.indices for one in found] == [(1,), (1,), (1,), (1,), (0,)]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("monitor: a, b, c and 1 more: lead 'ECG' is taken, the only one named")
