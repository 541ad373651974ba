"""What a child process decodes: which variables and columns, of what rate."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from scipy import io

from pipeline.errors import InputError
from replay.files.recordings import open_recording
from replay.files.stated import Stated

pytestmark = pytest.mark.system

N = 3000
ECG = np.random.default_rng(3).normal(0, 0.4, (N, 2))


@pytest.mark.parametrize(
    ("values", "stated", "names"),
    [
        ({"ecg": ECG, "Fs": 250.0, "peaks": np.arange(9.0)}, {}, ["ecg 1", "ecg 2"]),
        ({"II": ECG[:, 0], "V5": ECG[:, 1], "fs": 250.0}, {"columns": "V5,II"}, ["V5", "II"]),
    ],
)
def test_variables_are_signals(
    tmp_path: Path, values: dict[str, object], stated: dict[str, object], names: list[str]
) -> None:
    """The only long one, or those that are named, whichever way they lie; the rate is a scalar."""
    io.savemat(tmp_path / "x.mat", values)
    header = open_recording(tmp_path / "x.mat", Stated.of(unit="mV", **stated))  # type: ignore[arg-type]

    assert [signal.name for signal in header.signals] == names
    assert header.frame_rate_hz == 250
    assert header.read is not None
    lead = 0 if names[0] != "V5" else 1
    np.testing.assert_allclose(header.read(lead, 0, N)[0], ECG[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("values", "stated", "reason"),
    [
        ({"a": ECG, "b": ECG}, {}, "it has 'a', 'b'; name the signals with --column"),
        ({"a": ECG, "text": "b"}, {"columns": "b"}, "no variable of numbers 'b'; it has 'a'"),
        ({"a": np.zeros((200, 300)), "fs": 250.0}, {}, "holds 200 signals; 1 to 64 are read"),
    ],
)  # fmt: skip
def test_variables_that_are_no_signals_are_named(
    tmp_path: Path, values: dict[str, object], stated: dict[str, object], reason: str
) -> None:
    """One line lists those that there are."""
    io.savemat(tmp_path / "x.mat", values)
    with pytest.raises(InputError, match=reason):
        open_recording(tmp_path / "x.mat", Stated.of(unit="mV", **stated))  # type: ignore[arg-type]


def test_columns_of_parquet_are_signals(tmp_path: Path) -> None:
    """Numbers, with unknown values where they are null; a rate by times, if these are even."""
    values = ECG[:, 0].tolist()
    values[7] = None
    dates = pa.array((np.arange(N) * 4).astype("datetime64[ms]"))
    table = {"when": dates, "II_mV": values, "note": ["x"] * N, "hr": [60] * N}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    header = open_recording(tmp_path / "x.parquet")
    assert [signal.name for signal in header.signals] == ["II", "hr"]
    assert header.frame_rate_hz == 250
    assert header.start is not None
    assert header.read is not None
    samples = header.read(0, 0, N)[0]
    assert np.flatnonzero(np.isnan(samples)).tolist() == [7]
    pq.write_table(pa.table({"t": np.arange(N) ** 1.5, "II_mV": values}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="give it with --fs"):
        open_recording(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="no column of numbers 'V5'; it has 't', 'II_mV'"):
        open_recording(tmp_path / "x.parquet", Stated.of(fs_hz=250, columns="V5"))
