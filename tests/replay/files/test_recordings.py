"""The same recording through every kind of file that docs/files.md names."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import InputError
from replay.files.recordings import find_recordings, open_recording
from replay.files.stated import Stated
from replay.headers import DEMO_RECORD, RecordHeader, load_header
from replay.lead_sets.frames import read_frames
from replay.records import RecordSource
from tests.support import recordings

SECONDS = 20


@pytest.fixture(scope="module")
def adc() -> NDArray[np.int64]:
    """Return twenty seconds of the demo and of its half, int [n, 2]."""
    header = load_header(DEMO_RECORD)
    lead = read_frames(header, [0], 0, SECONDS * recordings.RATE_HZ)[0]
    return np.stack([lead, (lead - recordings.ZERO) // 2 + recordings.ZERO], axis=1)


def read(header: RecordHeader) -> NDArray[np.float32]:
    """Return all voltage signals of a record, float32[leads, n]."""
    leads = [n for n, signal in enumerate(header.signals) if signal.units != "no unit"]
    source = RecordSource(header, leads=leads, speed=None)
    blocks = [np.atleast_2d(block.samples) for block in source.blocks() if block is not None]
    return np.concatenate(blocks, axis=1)


@pytest.mark.parametrize("kind", recordings.WRITERS)
def test_every_kind_of_file_holds_the_same_signal(
    tmp_path: Path, adc: NDArray[np.int64], kind: str
) -> None:
    """Rate, names and every sample are those of the record, to the last bits of a float."""
    path, stated = recordings.WRITERS[kind](tmp_path, adc)
    (found,) = find_recordings(str(path)).paths
    header = open_recording(found, Stated.of(**stated))

    expected = recordings.mv(adc).T[: 1 if kind == "Apple Health" else 2]
    samples = read(header)
    assert header.lead_rate_hz(len(header.signals) - 1) == recordings.RATE_HZ
    np.testing.assert_allclose(samples, expected, atol=2e-6)
    names = " ".join(signal.name for signal in header.signals)
    if kind not in ("NumPy", "MATLAB", "CSV without names"):
        assert all(name in names for name in recordings.NAMES[: len(expected)])


def test_the_document_names_what_is_tested() -> None:
    """Each row of the table in docs/files.md is a kind above, and the other way round."""
    text = (Path(__file__).parents[3] / "docs" / "files.md").read_text(encoding="utf-8")
    table = text.split("| kind |")[1].split("\n\n")[0]
    assert [row.split(" | ")[0][2:] for row in table.splitlines()[2:]] == list(recordings.WRITERS)


def test_what_a_file_says_of_its_start_is_known(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """Headers and columns of dates give dates to what is found."""
    for kind in ("EDF+", "EDF by hand", "TSV", "ISHNE"):
        path, stated = recordings.WRITERS[kind](tmp_path, adc)
        start = open_recording(path, Stated.of(**stated)).start
        assert start == datetime(2021, 3, 4, 5, 6, 7 if kind != "TSV" else 0), kind
    path, _ = recordings.apple_health(tmp_path, adc)
    start = open_recording(path).start
    assert start is not None
    assert start.isoformat() == "2021-03-04T05:06:07+01:00"


def test_a_file_is_known_by_its_content(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """Whatever its name is; and a name beside a WFDB header is still the file's own."""
    for kind in ("EDF", "NumPy", "CSV with times", "GE MUSE"):
        path, stated = recordings.WRITERS[kind](tmp_path, adc)
        other = path.rename(tmp_path / "recording.bin")
        assert open_recording(other, Stated.of(**stated)).frames in (SECONDS, len(adc))
    recordings.wfdb_record(tmp_path, adc)
    path, _ = recordings.edf(tmp_path, adc)
    path.rename(tmp_path / "w.edf")
    assert find_recordings(str(tmp_path / "w.edf")).paths == [tmp_path / "w.edf"]
    assert find_recordings(str(tmp_path / "w.dat")).paths == [tmp_path / "w.hea"]
    assert find_recordings(str(tmp_path / "w")).paths == [tmp_path / "w.hea"]


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file; export it as EDF or CSV"),
        (b"MATLAB 7.3 MAT-file", "MATLAB 7.3"),
        (b"PK\x03\x04", "save the sheet as CSV"),
        (b"\x1f\x8b", "gunzip"),
        (b"%PDF-1.4", "a PDF"),
        (b"\xff\xfet\0i\0", "UTF-16"),
        (b"<svg>", "XML of a kind"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"\x01\x02\x03\x04", "of a kind that is not known"),
        (b"", "an empty file"),
        (b"Dear Sir or Madam,\nthe ECG is enclosed.\n", "no table of numbers"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, start: bytes, what: str) -> None:
    """One line says what a file is, and what to do."""
    (tmp_path / "x.dat").write_bytes(start + bytes(100) * (start[:1] not in (b"", b"D", b"<")))
    with pytest.raises(InputError, match=what) as refused:
        open_recording(tmp_path / "x.dat")
    assert "\n" not in str(refused.value)


def test_a_folder_gives_recordings_of_all_kinds_and_says_what_it_skips(
    tmp_path: Path, adc: NDArray[np.int64]
) -> None:
    """Segments, samples and annotations belong to their record; folders below are looked into."""
    below = tmp_path / "Über uns"
    below.mkdir()
    (below / ".hidden").mkdir()
    recordings.wfdb_record(tmp_path, adc)
    recordings.edf(tmp_path, adc)
    recordings.csv_with_times(below, adc)
    recordings.npy(below / ".hidden", adc)
    (tmp_path / "w.atr").write_bytes(b"\0\0")
    (tmp_path / "RECORDS").write_text("w\n")
    (tmp_path / "ALARMS").write_text("w,Asystole,0\n" * 300)
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "many.hea").write_text(f"many/2 2 360 {2 * len(adc)}\nw {len(adc)}\nw {len(adc)}\n")

    found = find_recordings(str(tmp_path))
    deep = find_recordings(str(tmp_path), recursive=True)

    assert [path.name for path in found.paths] == ["e.edf", "many.hea"]
    assert [path.name for path in deep.paths] == ["e.edf", "many.hea", "t.csv"]
    skipped = {path.name: why for path, why in found.skipped}
    assert skipped["RECORDS"] == "text without a table of numbers"
    assert skipped["x.h5"].startswith("an HDF5 file")
    assert set(skipped) == {"ALARMS", "RECORDS", "x.h5"}
    with pytest.raises(InputError, match=r"holds no record.*--recursive"):
        find_recordings(_empty(tmp_path))


def _empty(folder: Path) -> str:
    (folder / "empty").mkdir()
    return str(folder / "empty")


def test_a_recording_below_five_seconds_is_refused(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """Of so little, nothing is known."""
    for kind in ("WFDB", "EDF", "CSV with times"):
        path, _ = recordings.WRITERS[kind](tmp_path, adc[: 4 * recordings.RATE_HZ])
        with pytest.raises(InputError, match="is 4 s long: 5 s are needed"):
            open_recording(path)
