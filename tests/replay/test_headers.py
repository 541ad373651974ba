"""Headers of unknown origin: what is accepted is safe to read, the rest is one clear line."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.constants import MAX_LEADS_PER_RECORD
from pipeline.errors import InputError
from replay.headers import MAX_HEADER_BYTES, find_records, header_path, load_header, quoted
from replay.records import read_lead
from tests.support.databases import database

GOOD = b"r 2 360 1000\nr.dat 212 200 11 1024 995 0 0 MLII\nr.dat 212 200 11 1024 1011 0 0 V5\n"


def record(folder: Path, header: bytes = GOOD, data: int | None = 3000, name: str = "r") -> Path:
    """Write a header, and a signal file of ``data`` zero bytes unless None; return the header."""
    (folder / f"{name}.hea").write_bytes(header)
    if data is not None:
        (folder / f"{name}.dat").write_bytes(bytes(data))
    return folder / f"{name}.hea"


def refusal(path: str | Path) -> str:
    """Return the text of the refusal of a record, checked to be one printable line."""
    with pytest.raises(InputError) as caught:
        load_header(path)
    text = str(caught.value)
    assert text.isprintable()
    return text


def test_a_plain_header_is_read_with_its_defaults(tmp_path: Path) -> None:
    """Gain, baseline and units left out or 0 mean 200, the ADC zero, and mV (header(5))."""
    header = load_header(
        record(tmp_path, b"r 2 360/1(0) 1000 12:00 1/2/1999\nr.dat 212\nr.dat 212 0 11 5\n")
    )
    assert (header.frame_rate_hz, header.frames) == (360.0, 1000)
    first, second = header.signals
    assert (first.gain, first.baseline, first.units, first.name) == (200.0, 0, "mV", "signal 0")
    assert (second.gain, second.baseline, second.adc_bits, second.adc_zero) == (200.0, 5, 11, 5)


@pytest.mark.parametrize(
    "written",
    ["", "12:33:59", "12:33:59.250 12/05/2020", "12-May-2020 12:33:59", "12-May-2020"],
)
def test_time_and_date_may_stand_in_either_order(tmp_path: Path, written: str) -> None:
    """The challenges of 2020 and 2021 write the date first, with the name of the month."""
    header = load_header(record(tmp_path, f"r 1 360 10 {written}\nr.dat 16\n".encode()))
    assert (header.frame_rate_hz, header.frames) == (360.0, 10)


@pytest.mark.parametrize(
    ("field", "mv"),
    [("10356303.875968993(0)/mV", 0.31), ("2e12(0)/V", 1.6e-3), ("2e-4(0)/nV", 16.1)],
)
def test_gains_of_wide_formats_and_of_other_units_are_read(
    tmp_path: Path, field: str, mv: float
) -> None:
    """``wrsamp`` spreads a signal over all bits of its format: ten million units a mV in 24."""
    digital = 16.1 if field.startswith("2e-4") else 3_210_454
    line = f"r 1 360 4\nr.dat 32 {field} 24 0 0 0 0 II\n"
    path = record(tmp_path, line.encode(), data=None)
    np.full(4, digital * (200 if digital < 100 else 1), dtype="<i4").tofile(tmp_path / "r.dat")
    np.testing.assert_allclose(read_lead(path)[1], mv, rtol=5e-3)


def test_comments_and_non_ascii_units_are_understood(tmp_path: Path) -> None:
    """A µ is not lost on the way: µV read as V would be wrong by a million."""
    text = "# années\nr 1 250 4\n#\nr.dat 16 1000(-3)/µV 16 0 0 0 0 lead  II é\n"
    for encoding in ("utf-8", "latin-1"):
        header = load_header(record(tmp_path, text.encode(encoding), data=8))
        assert header.signals[0].units == "µV"
        assert header.signals[0].name == "lead II é"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"Dear Sir or Madam,\nno header this\n", "no WFDB header"),
        (b"\x00\x01\x02\xff\xfe" * 40, "is no text"),
        (b"r 1 360 10\nr.dat 16 200 11 0 0 0 0 \x1b]52;c;aGk=\x07\n", "is no text"),
        (b"r 0 360 10\n", "0 signals"),
        (b"r 65 360 10\n", f"1 to {MAX_LEADS_PER_RECORD}"),
        (b"r 999999999 360 10\n", "999999999 signals"),
        (b"r 3 360 10\nr.dat 16\n", "describes 1"),
        (b"r 1 0 10\nr.dat 16\n", "0 Hz"),
        (b"r 1 -360 10\nr.dat 16\n", "-360 Hz"),
        (b"r 1 1e3 10\nr.dat 16\n", "no number"),
        (b"r 1 nan 10\nr.dat 16\n", "no number"),
        (b"r 1 20000 10\nr.dat 16\n", "over 10,000 Hz"),
        (b"r 1 360 10\nr.dat 16x9999999\n", "over 10,000 Hz"),
        (b"r 1 360 10\nr.dat 16x0\n", "0 samples per frame"),
        (b"r 1 360 10\nr.dat 16 1e-320\n", "gain"),
        (b"r 1 360 10\nr.dat 16 1e300\n", "gain"),
        (b"r 1 360 10\nr.dat 16 nan\n", "gain"),
        (b"r 1 360 10\nr.dat 8\n", "format"),
        (b"r 1 360 10\nr.dat 999\n", "format"),
        (b"r 1 360 10\nr.dat\n", "format"),
        (b"r 1 360 10\n/etc/passwd 16\n", "plain name"),
        (b"r 1 360 10\n../r.dat 16\n", "plain name"),
        (b"r 1 360 10\nsub/r.dat 16\n", "plain name"),
        (b"r 1 360 10\ns3://bucket/r.dat 16\n", "plain name"),
        (b"r 1 360 10\n~ 16\n", "plain name"),
        (b"r 1 360 10\nmissing.dat 16\n", "cannot be read"),
        (b"r 1 360 1501\nr.dat 16\n", "truncated"),
        (b"r 1 360 999999999999999\nr.dat 16\n", "truncated"),
        (b"r 1 360 10\nr.dat 16+999999999\n", "truncated"),
        (b"r 2 360 10\nr.dat 16\nr.dat 212\n", "two formats"),
        (b"r 3 360 10\nr.dat 16\nq.dat 16\nr.dat 16\n", "stand together"),
        (b"r 1 360 10\nr.dat 516\n", "no FLAC"),
        (b"r/2 2 360 10\nr 5\nr 5\n", "names itself"),
        (b"r/2 2 360 10\na 5\nb 5\n", "several segments"),
        (b"r/0 2 360 10\n", "several segments"),
    ],
)
def test_a_hostile_header_is_refused_by_name(tmp_path: Path, header: bytes, message: str) -> None:
    """Each kind of bad header gets one line that names the fault."""
    assert message in refusal(record(tmp_path, header))


def test_an_oversized_header_is_not_read(tmp_path: Path) -> None:
    """The size is looked at before the content."""
    assert "over" in refusal(record(tmp_path, GOOD + b"#" * MAX_HEADER_BYTES))


@pytest.mark.parametrize("name", ["r.hea", "r.dat"])
def test_a_fifo_is_refused_without_waiting(tmp_path: Path, name: str) -> None:
    """Neither a header nor a signal file that is a FIFO is ever opened."""
    record(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert "no regular file" in refusal(tmp_path / "r")


def test_a_folder_that_reads_like_an_address_is_refused(tmp_path: Path) -> None:
    """The reader opens 'a::b' as a chain of remote files; brackets and stars are plain names."""
    for name in ("a::b", "a[1]*"):
        (tmp_path / name).mkdir()
        record(tmp_path / name)
    assert "::" in refusal(tmp_path / "a::b" / "r")
    assert read_lead(tmp_path / "a[1]*" / "r")[1].size == 1000


def test_an_empty_signal_file_is_refused(tmp_path: Path) -> None:
    """An empty file is named as such, with or without a declared length."""
    assert "is empty" in refusal(record(tmp_path, data=0))


def test_a_signal_file_may_not_be_a_link_out_of_the_folder(tmp_path: Path) -> None:
    """A header cannot make a file elsewhere its signal; a folder of links to a record works."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    record(tmp_path / "a", data=None)
    (tmp_path / "elsewhere").write_bytes(bytes(3000))
    (tmp_path / "a" / "r.dat").symlink_to(tmp_path / "elsewhere")
    assert "link out" in refusal(tmp_path / "a" / "r")
    (tmp_path / "a" / "r.dat").unlink()
    (tmp_path / "a" / "r.dat").write_bytes(bytes(3000))
    for name in ("r.hea", "r.dat"):
        (tmp_path / "b" / name).symlink_to(tmp_path / "a" / name)
    assert load_header(tmp_path / "b" / "r").frames == 1000


def test_a_length_left_out_is_what_the_file_holds(tmp_path: Path) -> None:
    """Without a number of samples, or with 0, the size of the file decides."""
    for line in (b"r 1 360\n", b"r 1 360 0\n"):
        assert load_header(record(tmp_path, line + b"r.dat 16+24\n", data=224)).frames == 100


def test_a_packed_format_may_end_in_half_a_group(tmp_path: Path) -> None:
    """An odd number of 12-bit samples needs two bytes for the last one."""
    line = b"r 1 360 5\nr.dat 212\n"
    assert load_header(record(tmp_path, line, data=8)).frames == 5
    assert "truncated" in refusal(record(tmp_path, line, data=7))


def test_leads_of_different_lengths_need_a_length(tmp_path: Path) -> None:
    """Which of them is cut off nobody can know; less than a second is what a block pads."""
    (tmp_path / "s.dat").write_bytes(bytes(4000))
    for length, held in ((b"", 0), (b" 1000", 1000)):
        path = record(tmp_path, b"r 2 360" + length + b"\nr.dat 16\ns.dat 16\n", data=2000)
        if held:
            assert load_header(path).frames == held
        else:
            assert "has leads of 1,000 to 2,000 samples and states no length" in refusal(path)
    assert load_header(record(tmp_path, b"r 2 360\nr.dat 16\ns.dat 16\n", data=3300)).frames == 1650


def test_every_form_of_a_record_argument_finds_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record is found by bare name, by any of its files, with and without a folder."""
    record(tmp_path)
    monkeypatch.chdir(tmp_path)
    for form in ("r", "r.dat", "r.hea", "./r", str(tmp_path / "r"), str(tmp_path / "r.atr")):
        (found,) = find_records(form)
        assert found.resolve() == tmp_path / "r.hea"


def test_a_folder_means_all_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder gives its headers in order; one without is refused; 'demo' is bundled."""
    for name in ("b", "a"):
        record(tmp_path, name=name)
    monkeypatch.chdir(tmp_path)
    for folder in (str(tmp_path), f"{tmp_path}/", "."):
        assert [path.stem for path in find_records(folder)] == ["a", "b"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no record"):
        find_records(str(tmp_path / "empty"))
    assert find_records("demo")[0].is_file()


@pytest.mark.parametrize("name", ["nope", "", "a\0b", "x" * 5000, "no/such/place", "\x1b[2J"])
def test_a_missing_record_is_one_clear_line(name: str) -> None:
    """For any argument the refusal is printable and says that there is no record."""
    if name:
        assert "no record" in refusal(name)
    with pytest.raises(InputError):
        find_records(name or "/nonexistent/")


def test_quoted_text_holds_no_control_character() -> None:
    """Escape sequences, bidirectional marks and newlines come out escaped, and long text short."""
    text = quoted("a\x1b]0;x\x07\n\u202e\u200b\x9b" + "y" * 500)
    assert text.isprintable()
    assert len(text) < 150


_PIECES = st.sampled_from(
    [
        b" ",
        b"\n",
        b"0",
        b"-1",
        b"9" * 12,
        b"212",
        b"516",
        b"r.dat",
        b"../x",
        b"/2",
        b"x3",
        b":9",
        b"+7",
        b"(5)",
        b"/mV",
        b"e-320",
        b"\x00",
        b"\xff",
        b"#",
        b"\r",
        b"1e9",
        b".",
        b"~",
    ]
)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), _PIECES), max_size=4),
    )
)
@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_are_refused_or_read(tmp_path: Path, change: object) -> None:
    """Random bytes and mutated headers end in InputError or in a record that can be read."""
    header = GOOD
    if isinstance(change, bytes):
        header = change
    else:
        for at, cut, piece in change:  # type: ignore[attr-defined]
            header = header[:at] + piece + header[at + cut :]
    path = record(tmp_path, header)
    text = ""
    try:
        info, samples = read_lead(path)
        assert samples.dtype == np.float32
        assert samples.size == info.total_samples <= 16_000
    except InputError as error:
        text = str(error)
    assert text.isprintable()


@pytest.mark.data
def test_every_header_of_the_databases_is_accepted() -> None:
    """The checks refuse nothing that real records do."""
    for name in ("mitdb", "nstdb", "vfdb", "challenge2015"):
        for path in find_records(str(database(name))):
            assert header_path(path) == path
            assert load_header(path).frames > 0
