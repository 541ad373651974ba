"""EDF, EDF+ and BDF: their headers, their gaps, and reading them in pieces."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.schema.messages import FLAG_SATURATED
from replay.files.dates import edf_start
from replay.files.edf import open_edf
from replay.files.recordings import open_recording
from replay.files.stated import NOTHING, Stated
from replay.records import RecordSource
from tests.support import recordings

RATE = recordings.RATE_HZ


@pytest.fixture(scope="module")
def adc() -> NDArray[np.int64]:
    """Return ten seconds of noise, int [n, 2]."""
    return np.random.default_rng(2).integers(100, 1900, (10 * RATE, 2))


def written(folder: Path, data: bytes) -> Path:
    """Write a file; return its path."""
    (folder / "x.edf").write_bytes(data)
    return folder / "x.edf"


def test_separate_pieces_have_gaps_between_them(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """EDF+D: each data record lies where its annotation says, and nothing is known between."""
    onsets = [0, 1, 2, 3.5, 4.5, 5.5, 6.5, 60, 61, 62]
    header = open_edf(written(tmp_path, recordings.edf_bytes(adc, onsets=onsets)), NOTHING)
    samples, _ = header.read(1, 0, header.frames * RATE)  # type: ignore[misc]

    expected = np.full(header.frames * RATE, np.nan)
    for n, onset in enumerate(onsets):
        at = round(onset * RATE)
        expected[at : at + RATE] = recordings.mv(adc)[n * RATE : (n + 1) * RATE, 1]
    assert header.frames == 63
    np.testing.assert_allclose(samples, expected, atol=1e-6)


def test_pieces_without_gaps_are_a_continuous_file(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """Many programs write EDF+D whatever they hold."""
    onsets = [float(n) for n in range(10)]
    header = open_edf(written(tmp_path, recordings.edf_bytes(adc, onsets=onsets)), NOTHING)
    assert header.frames == 10
    assert not np.isnan(header.read(0, 0, 10 * RATE)[0]).any()  # type: ignore[misc]


def test_it_is_read_in_any_pieces(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """Samples and flags are the same from any position on; a run at a rail is saturation."""
    adc = adc.copy()
    adc[1000:1012, 0] = 2047
    header = open_edf(written(tmp_path, recordings.edf_bytes(adc)), NOTHING)
    whole, flags = header.read(0, 0, 10 * RATE)  # type: ignore[misc]
    assert flags is not None
    assert np.flatnonzero(flags == FLAG_SATURATED).tolist() == list(range(1000, 1012))
    for cut in (1, 359, 360, 361, 1003, 1011):
        parts = [header.read(0, 0, cut), header.read(0, cut, 10 * RATE)]  # type: ignore[misc]
        np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), whole)
        marks = [np.zeros(len(s), np.uint8) if f is None else f for s, f in parts]
        np.testing.assert_array_equal(np.concatenate(marks), flags)
    source = RecordSource(header, leads=[0, 1], speed=None, start_s=3.3)
    first = next(block for block in source.blocks() if block is not None)
    np.testing.assert_array_equal(first.samples[0], whole[1188 : 1188 + first.n])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"records": 11}, "holds 10 data records but declares 11"),
        ({"records": 0}, "declares 0 data records"),
        ({"records": -7}, "declares -7 data records"),
        ({"duration": "0"}, "no signal"),
        ({"duration": "nan"}, "no number"),
        ({"duration": "1e99"}, "5 s|no number|Hz"),
        ({"unit": ""}, "does not state its unit: give it with --unit"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(
    tmp_path: Path, adc: NDArray[np.int64], change: dict[str, object], reason: str
) -> None:
    """In one line that names the fault."""
    path = written(tmp_path, recordings.edf_bytes(adc, **change))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=reason):
        RecordSource(open_edf(path, NOTHING), speed=None)


def test_a_recording_that_was_not_ended_is_read(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """With -1 data records, the size of the file decides; a record that was cut is left out."""
    data = recordings.edf_bytes(adc, records=-1)
    assert open_edf(written(tmp_path, data[:-100]), NOTHING).frames == 9


def test_unit_and_rate_are_stated_where_the_file_does_not(
    tmp_path: Path, adc: NDArray[np.int64]
) -> None:
    """A unit fills a blank one; a rate that is not the file's is refused."""
    path = written(tmp_path, recordings.edf_bytes(adc, unit=""))
    header = open_edf(path, Stated.of(unit="uV"))
    np.testing.assert_allclose(
        header.read(0, 0, 100)[0],
        recordings.mv(adc)[:100, 0] * 1e-3,
        atol=1e-6,  # type: ignore[misc]
    )
    with pytest.raises(InputError, match="has 360 Hz, and --fs says 250"):
        open_recording(path, Stated.of(fs_hz=250, unit="mV"))
    path = written(tmp_path, recordings.edf_bytes(adc, unit="uV"))
    with pytest.raises(InputError, match="is in 'uV', and --unit says mV: leave --unit out"):
        open_recording(path, Stated.of(unit="mV"))
    assert open_recording(path, Stated.of(unit="UV", fs_hz=360)).frames == 10


def test_a_signal_without_a_range_is_none_of_voltage(
    tmp_path: Path, adc: NDArray[np.int64]
) -> None:
    """Its gain is unknown: it is named, and never taken for an ECG."""
    data = recordings.edf_bytes(adc, physical=("0", "0"))
    header = open_edf(written(tmp_path, data), NOTHING)
    assert {signal.units for signal in header.signals} == {"uncalibrated"}


def test_an_anonymous_start_is_none() -> None:
    """Anonymous files have the first day that an EDF header can have; two digits are of 1985 on."""
    assert edf_start("01.01.85", "00.00.00") is None
    assert edf_start("31.02.20", "00.00.00") is None
    assert edf_start("nonsense", "00.00.00") is None
    assert edf_start("02.08.84", "22.15.01") == datetime(2084, 8, 2, 22, 15, 1)
    assert edf_start("02.08.86", "22:15:01") == datetime(1986, 8, 2, 22, 15, 1)


def test_commas_for_points_are_read(tmp_path: Path, adc: NDArray[np.int64]) -> None:
    """Some recorders write their headers so."""
    data = recordings.edf_bytes(adc, physical=("-5,12", "5,115"), duration="1,0")
    header = open_edf(written(tmp_path, data), NOTHING)
    np.testing.assert_allclose(header.read(0, 0, 50)[0], recordings.mv(adc)[:50, 0], atol=1e-6)  # type: ignore[misc]
