"""The formats of most records are decoded as wfdb decodes them, from any frame on."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.headers import load_header
from replay.lead_sets import frames
from replay.lead_sets.stored_values import stored_values

FRAMES = 37


def packed(form: str, values: np.ndarray) -> bytes:
    """Return samples in a format: the last one of an odd number of 12 bits lies in two bytes."""
    if form == "16":
        return values.astype("<i2").tobytes()
    first, second = np.pad(values, (0, values.size % 2)).reshape(-1, 2).T & 0xFFF
    rows = np.column_stack((first & 0xFF, first >> 8 | second >> 8 << 4, second & 0xFF))
    return rows.astype(np.uint8).tobytes()[: -(-values.size * 3 // 2)]


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("form", ["16", "212"])
@pytest.mark.parametrize("per_frame", [(1,), (1, 1), (2, 1), (1, 3, 1)])
def test_stored_values_are_those_that_wfdb_decodes(
    tmp_path: Path, form: str, per_frame: tuple[int, ...]
) -> None:
    """Of each signal, in any order, behind an offset, with several samples a frame."""
    values = np.random.default_rng(5).integers(-2048, 2048, FRAMES * sum(per_frame))
    (tmp_path / "r.dat").write_bytes(bytes(24) + packed(form, values))
    lines = [f"r {len(per_frame)} 100 {FRAMES}"]
    lines += [f"r.dat {form}x{n}+24 200/mV 12 0 0 0 0 L{k}" for k, n in enumerate(per_frame)]
    (tmp_path / "r.hea").write_text("\n".join(lines) + "\n")
    header = load_header(tmp_path / "r.hea")
    wanted = list(range(len(per_frame)))[::-1]

    for begin, end in ((0, FRAMES), (0, 1), (7, 20), (12, 13), (FRAMES - 1, FRAMES)):
        arguments = header, header.signals, wanted, begin, end
        both = zip(frames._columns(*arguments), frames._by_wfdb(*arguments), strict=True)
        for ours, theirs in both:
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


@given(st.lists(st.integers(-2048, 2047), min_size=1, max_size=9), st.data())
def test_any_12_bits_come_back_from_any_place(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], data: st.DataObject
) -> None:
    """Pairs of samples share three bytes, and a read may begin and end within one."""
    begin = data.draw(st.integers(0, len(values) - 1))
    end = data.draw(st.integers(begin + 1, len(values)))
    path = tmp_path_factory.getbasetemp() / "pairs.dat"
    path.write_bytes(packed("212", np.array(values)))

    assert stored_values(path, "212", 0, 1, begin, end).ravel().tolist() == values[begin:end]


@pytest.mark.parametrize("form", ["16", "212"])
def test_a_file_that_has_become_shorter_is_an_error(tmp_path: Path, form: str) -> None:
    """It was long enough when its header was checked."""
    path = tmp_path / "short.dat"
    path.write_bytes(bytes(8))
    with pytest.raises(ValueError, match="bytes are there"):
        stored_values(path, form, 0, 1, 0, 10)
