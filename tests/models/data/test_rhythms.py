"""The rhythms that the notes of a record name."""

from pathlib import Path

from models.data.rhythms import Stretch, read_rhythms
from replay.annotations import note_bytes


def record_with(folder: Path, *notes: tuple[int, str]) -> Path:
    """Return a record at 100 Hz with notes."""
    (folder / "r.hea").write_text("r 1 100 10000\nr.dat 16 200 16 0 0 0 0 ECG\n")
    (folder / "r.atr").write_bytes(note_bytes(notes))
    return folder / "r"


def test_each_rhythm_lasts_to_the_next_note(tmp_path: Path) -> None:
    """Notes that name none end nothing; the last one ends with the record."""
    record = record_with(tmp_path, (100, "(N"), (500, "MISSB"), (1000, "(VT"), (1500, "(N"))
    assert read_rhythms(record, 100.0) == [
        Stretch("N", 1.0, 10.0),
        Stretch("VT", 10.0, 15.0),
        Stretch("N", 15.0, 100.0),
    ]


def test_a_record_without_rhythms_names_none(tmp_path: Path) -> None:
    """As those of svdb, which have beats only."""
    assert read_rhythms(record_with(tmp_path, (100, "tape slippage")), 100.0) == []
