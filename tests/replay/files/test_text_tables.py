"""Tables of numbers in texts: their layout, their times, and reading them in pieces."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from replay.files.stated import NOTHING, Stated
from replay.files.text_layout import find_layout
from replay.files.text_tables import open_text
from replay.headers import RecordHeader

N = 20_000


@pytest.fixture(scope="module")
def mv() -> NDArray[np.float64]:
    """Return 80 s of a signal at 250 Hz, rounded to a microvolt."""
    return np.round(np.random.default_rng(8).normal(0, 0.4, N), 3)


def written(folder: Path, text: str) -> Path:
    """Write a text; return its path."""
    (folder / "x.csv").write_text(text, encoding="utf-8")
    return folder / "x.csv"


def rows(times: NDArray[np.float64], values: NDArray[np.float64]) -> str:
    """Return rows of times and values."""
    return "".join(f"{t:.3f},{v:.3f}\n" for t, v in zip(times, values, strict=True))


def all_of(header: RecordHeader, index: int = 0) -> NDArray[np.float32]:
    """Return a whole signal."""
    assert header.read is not None
    return header.read(index, 0, header.frames)[0]


def test_a_jump_of_the_times_is_a_gap(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    """Where rows are missing nothing is known, and what follows lies where its time says."""
    times = np.arange(N) / 250
    times[5000:] += 3.2
    times[5003:] += 0.012
    times[19_000:] += 100.0
    header = open_text(written(tmp_path, "time,II [mV]\n" + rows(times, mv)), NOTHING)

    expected = np.full(header.frames, np.nan)
    expected[np.rint(times * 250).astype(int)] = mv
    assert header.frame_rate_hz == 250
    assert header.frames == N + 800 + 3 + 25_000
    np.testing.assert_allclose(all_of(header), expected, atol=1e-6)


def test_times_are_rounded_and_drift(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    """Milliseconds of 360 Hz are 360 Hz; a rate that is no whole number stays what it is."""
    path = written(tmp_path, "time,II [mV]\n" + rows(np.arange(N) / 360, mv))
    assert open_text(path, NOTHING).frame_rate_hz == 360
    path = written(tmp_path, "time,II [mV]\n" + rows(np.arange(N) / 511.543, mv))
    header = open_text(path, NOTHING)
    assert header.frame_rate_hz == pytest.approx(511.543, rel=5e-5)
    assert header.frames == N


@pytest.mark.parametrize(
    ("name", "scale"), [("t (ms)", 1e3), ("time_us", 1e6), ("unix time", 1.0), ("seconds", 1.0)]
)
def test_times_have_units(tmp_path: Path, mv: NDArray[np.float64], name: str, scale: float) -> None:
    """By the name of their column; without one they are seconds."""
    times = np.arange(N) / 250 * scale + (1.6e9 if name == "unix time" else 0.0)
    header = open_text(written(tmp_path, f"{name},II [mV]\n" + rows(times, mv)), NOTHING)
    assert header.frame_rate_hz == 250
    assert (header.start is not None) == (name == "unix time")


def test_times_that_say_no_rate_need_one(tmp_path: Path, mv: NDArray[np.float64]) -> None:
    """Numbers of rows, uneven times, times backwards: with --fs rows are taken as they come."""
    even = np.arange(N) / 250
    uneven = even + np.random.default_rng(1).uniform(0, 0.01, N).cumsum()
    back = even.copy()
    back[9000:] -= 20.0
    for times, reason in (
        (np.arange(N) * 4.0, "write their unit into the name"),
        (uneven, "not even"),
        (back, "not even|do not ascend"),
    ):
        path = written(tmp_path, "time,II [mV]\n" + rows(times, mv))
        with pytest.raises(InputError, match=reason):
            open_text(path, NOTHING)
        assert open_text(path, Stated.of(fs_hz=250)).frames == N
    path = written(tmp_path, "time,II [mV]\n" + rows(even, mv))
    with pytest.raises(InputError, match="has 250 Hz, and --fs says 500"):
        open_text(path, Stated.of(fs_hz=500))


@pytest.mark.parametrize(
    ("text", "stated", "reason"),
    [
        ("II\n{values}", {}, "its sampling rate and its unit: give them with --fs HZ and --unit"),
        ("II\n{values}", {"unit": "mV"}, "does not state its sampling rate: give it with --fs"),
        ("II\n{values}", {"fs_hz": 250}, "does not state its unit: give it with --unit"),
        ("II [mV]\n{values}", {"fs_hz": 250, "unit": "uV"}, "is in 'mV', and --unit says uV"),
        ("II\n{values}", {"fs_hz": 250, "unit": "mV", "columns": "V5"}, "no column 'V5'; it has 0"),
        ("II [mV]\n{values}abc\n{values}", {"fs_hz": 250}, "'abc' in column 'II' of line 20,002"),
        ("II [mV]\n{values}1,2\n{values}", {"fs_hz": 250}, "'1,2' in column 'II' of line 20,002"),
        ("a note\nand another\n", {}, "no table of numbers"),
        ("1" * 20_000, {}, "a line of over 16 KiB"),
        ("{values}" + "1" * 20_000, {"fs_hz": 250, "unit": "mV"}, "a line of over 16 KiB"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_one_line(
    tmp_path: Path, mv: NDArray[np.float64], text: str, stated: dict[str, object], reason: str
) -> None:
    """Rate, unit, columns and rows: each says what, where and what to do."""
    values = "".join(f"{v:.3f}\n" for v in mv)
    with pytest.raises(InputError, match=reason) as refused:
        all_of(
            open_text(written(tmp_path, text.format(values=values)), Stated.of(**stated))  # type: ignore[arg-type]
        )
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"fs_hz": 5}, "--fs 5: 50 to 10,000 Hz"),
        ({"fs_hz": float("nan")}, "--fs nan"),
        ({"unit": "mmHg"}, "--unit 'mmHg': write mV, uV or V"),
        ({"columns": "a,a"}, "each column once"),
    ],
)
def test_nonsense_is_refused_before_any_file(stated: dict[str, object], reason: str) -> None:
    """Options are checked by themselves."""
    with pytest.raises(ConfigError, match=reason):
        Stated.of(**stated)  # type: ignore[arg-type]


def test_unknown_values_are_unknown(tmp_path: Path) -> None:
    """Empty fields and what stands for none, in any spelling; other columns stay as they are."""
    lines = ["1.0,2"] * 50 + [",2", "NaN,2", "n/a,2", "-,2"] + ["1.0,2"] * 50
    path = written(tmp_path, "II [mV],V5 [mV]\n" + "\n".join(lines) + "\n\n\n")
    header = open_text(path, Stated.of(fs_hz=250))
    assert header.frames == 104
    assert np.flatnonzero(np.isnan(all_of(header))).tolist() == [50, 51, 52, 53]
    assert np.all(all_of(header, 1) == 2)


def test_blank_lines_within_a_table_are_a_fault(tmp_path: Path) -> None:
    """Where samples are missing, nobody knows how many."""
    path = written(tmp_path, "II [mV],V5 [mV]\n" + "1,2\n" * 5000 + "\n" * 40_000 + "1,2\n" * 50)
    with pytest.raises(InputError, match=r"has 0 in line 5,002; 2 columns are needed"):
        all_of(open_text(path, Stated.of(fs_hz=250)))


@pytest.mark.parametrize("head", ["time,II [mV],\n", ""])
def test_a_delimiter_at_the_end_of_each_line_is_no_lead(
    tmp_path: Path, mv: NDArray[np.float64], head: str
) -> None:
    """As spreadsheets and sketches write it: what is after it has no name and no value."""
    text = head + rows(np.arange(N) / 250, mv).replace("\n", ",\n")
    header = open_text(written(tmp_path, text), Stated.of(None, None if head else "mV"))
    assert len(header.signals) == 1
    np.testing.assert_allclose(all_of(header), mv, atol=1e-6)


def test_columns_are_chosen_by_name_and_number(tmp_path: Path) -> None:
    """Names without their units, numbers from 0; row numbers, times and texts are no signals."""
    text = "index,time,II (uV),V5 (uV),bpm,rhythm\n" + "".join(
        f"{n},{n / 250:.3f},{n % 7},{n % 5},60,SR\n" for n in range(2000)
    )
    path = written(tmp_path, text)
    assert [s.name for s in open_text(path, NOTHING).signals] == ["II", "V5", "bpm"]
    assert [s.units for s in open_text(path, NOTHING).signals] == ["uV", "uV", "no unit"]
    for asked in ("V5", "v5 (uV)", "3"):
        assert [s.name for s in open_text(path, Stated.of(columns=asked)).signals] == ["V5"]
    with pytest.raises(InputError, match="no numbers in column 'rhythm'"):
        open_text(path, Stated.of(columns="rhythm"))


def test_it_is_read_in_any_pieces_and_in_little_memory(
    tmp_path: Path, mv: NDArray[np.float64]
) -> None:
    """The same samples from any row on; a long file takes no more memory than a short one."""
    text = "II [mV]\r\n" + "".join(f"{v:.3f}\r\n" for v in np.tile(mv, 4))
    header = open_text(written(tmp_path, text), Stated.of(fs_hz=250))
    assert header.frames == 4 * N
    assert header.read is not None
    for first in (0, 1, 4095, 4096, 4097, 4 * N - 5):
        last = min(first + 5000, 4 * N)
        expected = np.tile(mv, 4)[first:last].astype(np.float32)
        np.testing.assert_array_equal(header.read(0, first, last)[0], expected)
    tracemalloc.start()
    for first in range(0, 4 * N, 5000):
        header.read(0, first, first + 5000)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@given(lines=st.lists(st.text(alphabet="0123456789.,;-+eEna \t\"'|:[]", max_size=20), max_size=30))
def test_any_lines_have_a_layout_or_none(lines: list[str]) -> None:
    """Whatever a text begins with, finding its layout does not fail."""
    layout = find_layout(lines, whole=True)
    if layout is not None:
        assert len(layout.kinds) == len(layout.columns)
        assert 0 <= layout.skip < len(lines)
