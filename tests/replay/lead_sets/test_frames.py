"""Frames of a file are decoded as signal(5) defines its format, wherever a piece begins."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from replay.headers import load_header
from replay.lead_sets.frames import read_frames

FRAMES = 7


def sample(data: bytes, form: str, at: int) -> int:
    """Return one sample of a file, bit by bit as signal(5) has them."""
    if form == "16":
        return int.from_bytes(data[2 * at : 2 * at + 2], "little", signed=True)
    first, middle, second = data[at // 2 * 3 :][:3].ljust(3, b"\0")
    value = second + 256 * (middle >> 4) if at % 2 else first + 256 * (middle & 15)
    return value - 4096 if value > 2047 else value


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(["16", "212"]),
    per_frame=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    offset=st.integers(0, 3),
    span=st.tuples(st.integers(0, FRAMES), st.integers(0, FRAMES)).map(sorted),
    data=st.binary(min_size=FRAMES * 9 * 2, max_size=FRAMES * 9 * 2),
)
def test_frames_are_those_of_the_format(
    tmp_path: Path, form: str, per_frame: list[int], offset: int, span: list[int], data: bytes
) -> None:
    """Each signal of a file, with any samples a frame, behind any offset, in any piece."""
    begin, end = span
    total = sum(per_frame)
    body = data[: -(-FRAMES * total * (3 if form == "212" else 4) // 2)]
    (tmp_path / "r.dat").write_bytes(bytes(offset) + body)
    lines = [f"r.dat {form}x{n}+{offset} 200/mV 12 0 0 0 0 s{n}" for n in per_frame]
    (tmp_path / "r.hea").write_text(f"r {len(lines)} 360 {FRAMES}\n" + "\n".join(lines) + "\n")
    header, first = load_header(tmp_path / "r.hea"), 0
    read = read_frames(header, range(len(per_frame)), begin, end)

    for index, n in enumerate(per_frame):
        places = [f * total + first + k for f in range(begin, end) for k in range(n)]
        assert read[index].tolist() == [sample(body, form, at) for at in places]
        first += n


@pytest.mark.parametrize("form", ["16", "212"])
def test_a_file_that_became_shorter_is_refused(tmp_path: Path, form: str) -> None:
    """What a file no longer holds is no zero."""
    (tmp_path / "r.hea").write_text(f"r 1 360 {FRAMES}\nr.dat {form} 200/mV 12 0 0 0 0 s\n")
    (tmp_path / "r.dat").write_bytes(bytes(2 * FRAMES))
    header = load_header(tmp_path / "r.hea")
    for left in (0, 1, 5):
        (tmp_path / "r.dat").write_bytes(bytes(left))
        with pytest.raises(InputError, match="fetch the record again"):
            read_frames(header, [0], 0, FRAMES)
    assert np.array_equal(read_frames(header, [0], 0, 1)[0], [0])
