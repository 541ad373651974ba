"""Annotation files of any kind are read as WFDB's own library reads them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from replay.annotations import (
    BEAT_SYMBOLS,
    END_MARK,
    SYMBOLS,
    Annotations,
    Mark,
    annotation_bytes,
    read_annotations,
    record_extent,
    tail_of,
)
from replay.records import write_beats
from tests.support.databases import database

NORMAL, NOISE, NOTE, SKIP, SUBTYPE, AUX = 1, 14, 22, 59, 61, 63


def words(*fields: tuple[int, int]) -> bytes:
    """Return annotation words of code and value; a SKIP takes its interval from the value."""
    out = b""
    for code, value in fields:
        if code == SKIP:
            out += (SKIP << 10).to_bytes(2, "little")
            bits = value % 2**32
            out += (bits >> 16).to_bytes(2, "little") + (bits & 0xFFFF).to_bytes(2, "little")
        else:
            out += (code << 10 | value).to_bytes(2, "little")
    return out


def note(text: bytes) -> bytes:
    """Return a note at time 0."""
    return words((NOTE, 0), (AUX, len(text))) + text + bytes(len(text) % 2)


END = bytes(2)


def read(folder: Path, data: bytes, **options: float) -> Annotations:
    """Read bytes as the annotator ``x`` of a record of 1,000 samples at 250 Hz."""
    (folder / "r.hea").write_text("r 1 250 1000\nr.dat 16\n")
    (folder / "r.x").write_bytes(data)
    return read_annotations(folder / "r", "x", **options)


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_reading_is_that_of_wfdb() -> None:
    """Every reference of the database: positions, symbols, subtypes and texts."""
    import wfdb

    for header in sorted(database("mitdb").glob("*.hea")):
        got = read_annotations(header, "atr")
        expected = wfdb.rdann(str(header.with_suffix("")), "atr")

        assert got.sample.tolist() == expected.sample.tolist()
        assert got.symbol == expected.symbol
        assert got.subtype.tolist() == expected.subtype.tolist()
        assert got.aux_note == expected.aux_note


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Also where the annotations count in another rate than the record's frames."""
    at = np.array([3, 700, 5000, 400_000])
    write_beats(tmp_path, "r", "x", at, ["N", "V", "e", "A"], 500.0)
    got = read(tmp_path, (tmp_path / "r.x").read_bytes())
    beats = [symbol in BEAT_SYMBOLS for symbol in got.symbol]

    assert got.fs == 250.0
    assert got.sample[beats].tolist() == [2, 350, 2500, 200_000]
    assert np.array(got.symbol)[beats].tolist() == ["N", "V", "e", "A"]
    whole = read_annotations(tmp_path / "r", "x", fs_hz=500.0)
    assert whole.sample[beats].tolist() == at.tolist()


def test_a_file_without_its_end_mark_loses_the_last_annotation(tmp_path: Path) -> None:
    """As in the C library, wherever the file is truncated; data after the end mark is ignored."""
    three = words((NORMAL, 10), (NORMAL, 20), (NOISE, 5), (SUBTYPE, 255))

    assert read(tmp_path, three + END).sample.tolist() == [10, 30, 35]
    assert read(tmp_path, three + END).subtype.tolist() == [0, 0, -1]
    for cut in (0, 1, 2, 3):
        assert read(tmp_path, three[: len(three) - cut]).sample.tolist()[:1] == [10]
        assert 35 not in read(tmp_path, three[: len(three) - cut]).sample
    assert read(tmp_path, three + END + three).sample.tolist() == [10, 30, 35]
    assert read(tmp_path, b"").sample.tolist() == []


def test_order_and_positions_stay_as_they_are(tmp_path: Path) -> None:
    """Backwards, before the beginning and beyond the end of the record."""
    data = words((SKIP, 5000), (NORMAL, 0), (SKIP, -6000), (NORMAL, 7), (SKIP, 2**31 - 1))

    assert read(tmp_path, data + words((NORMAL, 0)) + END).sample.tolist() == [
        5000,
        -993,
        -993 + 2**31 - 1,
    ]


def test_a_file_does_not_rename_its_codes(tmp_path: Path) -> None:
    """A definition at time 0 is a note like others; a code without a name is its number."""
    got = read(tmp_path, note(b"1 V renamed") + words((NORMAL, 5), (42, 5), (50, 5)) + END)

    assert got.symbol == ['"', "N", "[42]", "[50]"]
    assert len(set(SYMBOLS)) == 64


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        (b"## time resolution: 500", 3),
        (b"## time resolution: 125.5", 10),
        (b"## time resolution: 0", 5),
        (b"## time resolution: nan", 5),
        (b"something else", 5),
    ],
)
def test_a_stated_time_resolution_converts_positions(
    tmp_path: Path, text: bytes, sample: int
) -> None:
    """To the nearest sample of the record, halves up; a statement that is none changes nothing."""
    assert read(tmp_path, note(text) + words((NORMAL, 5)) + END).sample.tolist() == [0, sample]


def test_positions_that_no_record_has_are_refused(tmp_path: Path) -> None:
    """Instead of numbers that overflow."""
    data = note(b"## time resolution: 0.000000000001") + words((SKIP, 2**31 - 1), (NORMAL, 1))
    with pytest.raises(InputError, match="no record has"):
        read(tmp_path, data + END)


def test_the_length_comes_from_the_header_alone(tmp_path: Path) -> None:
    """No signal has to exist; a header may omit the number of frames."""
    read(tmp_path, END)
    assert record_extent(tmp_path / "r") == (250.0, 1000)
    (tmp_path / "r.hea").write_text("r 1\n")
    assert record_extent(tmp_path / "r") == (250.0, None)


@pytest.mark.parametrize("annotator", ["", "../x", "a.b", "x" * 20, "y"])
def test_an_annotator_that_is_none_is_one_line(tmp_path: Path, annotator: str) -> None:
    """A name that no file may have, or no file of that name."""
    read(tmp_path, END)
    with pytest.raises(InputError) as caught:
        read_annotations(tmp_path / "r", annotator)
    assert str(caught.value).isprintable()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    """Never a hang, never another error, always columns of one length."""
    try:
        got = read(tmp_path, data)
    except InputError:
        return
    assert len(got.sample) == len(got.symbol) == len(got.subtype) == len(got.aux_note)


@given(
    marks=st.lists(
        st.tuples(
            st.integers(0, 5_000), st.sampled_from("NSVFQ"), st.sampled_from(["", "(N", "(AFIB"])
        ),
        max_size=30,
    ),
    torn=st.integers(0, 3),
)
def test_the_end_of_a_file_is_found_without_reading_all_of_it(
    marks: list[tuple[int, str, str]], torn: int
) -> None:
    """Where they end, the last beat and the last rhythm; None of a file without a mark."""
    written = [Mark(at, "+" if text else symbol, text) for at, symbol, text in marks]
    data = annotation_bytes(written)

    tail = tail_of(data + END_MARK + bytes(torn))

    beats = [mark.sample for mark in written if mark.symbol != "+"]
    rhythms = [mark.text for mark in written if mark.text]
    last = written[-1].sample if written else 0
    assert tail == (len(data), last, (beats or [-1])[-1], (rhythms or [""])[-1])
    assert tail_of(data) is None
