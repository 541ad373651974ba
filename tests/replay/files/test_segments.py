"""Records of several segments, beside wfdb's own reader."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import InputError
from replay.files.dates import wfdb_start
from replay.headers import load_header
from replay.lead_sets.frames import wfdb_library
from replay.lead_sets.reading import lead_reader
from replay.records import RecordSource, read_leads


def segment(folder: Path, name: str, values: dict[str, NDArray[np.int64]], gain: float) -> int:
    """Write one segment by wfdb; return its samples."""
    signals = np.stack(list(values.values()), axis=1)
    with wfdb_library() as wfdb:
        wfdb.wrsamp(
            name, 250, ["mV"] * len(values), list(values), d_signal=signals,
            fmt=["16"] * len(values), adc_gain=[gain] * len(values), baseline=[7] * len(values),
            write_dir=str(folder),
        )  # fmt: skip
    return len(signals)


def walk(seed: int, n: int) -> NDArray[np.int64]:
    """Return a signal of ``n`` samples, a random walk."""
    return np.random.default_rng(seed).integers(-9, 10, n).cumsum()


def by_wfdb(record: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Return names and signals [n, signals] as wfdb reads them, in mV."""
    with wfdb_library() as wfdb:
        whole = wfdb.rdrecord(str(record.with_suffix("")), physical=True)
    return whole.sig_name, whole.p_signal


def fixed(folder: Path) -> Path:
    """Write a record of fixed layout; return its header."""
    segment(folder, "a1", {"II": walk(1, 2000), "V5": walk(2, 2000)}, 200.0)
    segment(folder, "a2", {"II": walk(3, 1500), "V5": walk(4, 1500)}, 1000.0)
    (folder / "a.hea").write_text("a/2 2 250 3500 10:11:12 05/04/2021\na1 2000\na2 1500\n")
    return folder / "a.hea"


def with_gap(folder: Path) -> Path:
    """Write the same with a null segment between, which wfdb reads in variable layouts only."""
    fixed(folder)
    (folder / "a.hea").write_text("a/3 2 250 4000\na1 2000\n~ 500\na2 1500\n")
    return folder / "a.hea"


def variable(folder: Path) -> Path:
    """Write a record of variable layout: a lead comes, another one goes; return its header."""
    segment(folder, "v1", {"II": walk(1, 2000), "V5": walk(2, 2000)}, 200.0)
    segment(folder, "v2", {"aVR": walk(3, 1500), "II": walk(4, 1500)}, 100.0)
    (folder / "v_layout.hea").write_text(
        "v_layout 3 250 0\n~ 0 200/mV 0 0 0 0 0 II\n~ 0 200/mV 0 0 0 0 0 V5\n"
        "~ 0 200/mV 0 0 0 0 0 aVR\n"
    )
    (folder / "v.hea").write_text("v/4 3 250 3800\nv_layout 0\nv1 2000\n~ 300\nv2 1500\n")
    return folder / "v.hea"


@pytest.mark.parametrize("write", [fixed, variable])
def test_segments_read_as_wfdb_reads_them(tmp_path: Path, write: object) -> None:
    """Every sample of every signal is that of wfdb; what is null there is unknown here."""
    header = load_header(write(tmp_path))  # type: ignore[operator]
    names, expected = by_wfdb(header.path)

    assert sorted(signal.name for signal in header.signals) == sorted(names)
    for index, signal in enumerate(header.signals):
        samples, _ = lead_reader(header, index).read(0, header.frames)
        np.testing.assert_allclose(samples, expected[:, names.index(signal.name)], atol=1e-6)


def test_segments_are_read_in_any_pieces(tmp_path: Path) -> None:
    """A source yields the same samples from any position on, gaps included."""
    header = load_header(with_gap(tmp_path))
    whole = read_leads(header.path, [0, 1])[1]
    source = RecordSource(header, leads=[0, 1], speed=None, start_s=7.2)
    blocks = [block for block in source.blocks() if block is not None]

    assert blocks[0].first_sample == 1800
    np.testing.assert_array_equal(
        np.concatenate([block.samples for block in blocks], axis=1), whole[:, 1800:]
    )
    assert np.isnan(whole[:, 2000:2500]).all()
    assert not np.isnan(whole[:, 2500:]).any()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a/2 2 250 3500\na1 2000\na 1500\n", "names itself"),
        ("a/2 2 250 3500\na1 2000\nnone 1500\n", "'none', that cannot be read"),
        ("a/2 2 250 3500\na1 2000\nb 1500\n", "several segments itself"),
        ("a/2 2 250 3500\na1 2000\n../a2 1500\n", "no segment"),
        ("a/3 2 250 3500\na1 2000\na2 1500\n", "lists 2"),
        ("a/2 2 250 9999\na1 2000\na2 1500\n", "declares 9,999 samples and segments of 3,500"),
        ("a/2 2 250\na1 1999\na2 1500\n", "but that has 2,000"),
        ("a/2 2 360 3500\na1 2000\na2 1500\n", "is of 360 Hz"),
        ("a/1 2 250 3500\n~ 3500\n", "no segment that holds a signal"),
        ("a/1000000 2 250 3500\n", "1 to 4,096"),
    ],
)
def test_segments_that_do_not_fit_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Each in one line that names the segment and the fault."""
    fixed(tmp_path)
    (tmp_path / "b.hea").write_text("b/1 2 250 1500\na2 1500\n")
    (tmp_path / "a.hea").write_text(text)
    with pytest.raises(InputError, match=reason):
        load_header(tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("12:33:59 12/05/2020", datetime(2020, 5, 12, 12, 33, 59)),
        ("12-May-2020 12:33:59", datetime(2020, 5, 12, 12, 33, 59)),
        ("05-Feb-2020 1:2:3.25", datetime(2020, 2, 5, 1, 2, 3, 250_000)),
        ("12:33:59", None),
        ("31/02/2020 12:00:00", None),
        ("", None),
    ],
)
def test_dates_are_read_as_headers_write_them(text: str, start: datetime | None) -> None:
    """By header(5) and by the challenges; what is no date is none."""
    assert wfdb_start(text) == start


@pytest.mark.parametrize(
    "header",
    [
        b"\xef\xbb\xbfr 1 360 1000\nr.dat 16 200 11 0 0 0 0 MLII\n",
        b"r 1 359.99999999999994 1000\nr.dat 16 200 11 0 0 0 0 MLII\n",
        b"r 1 360 1000 12-May-2020 12:33:59\nr.dat 16 2000000.5(3)/mV 16 0 0 0 0 MLII\n",
    ],
)
def test_headers_that_wfdb_reads_are_read(tmp_path: Path, header: bytes) -> None:
    """With a byte order mark, a rate of many decimals, a gain above a million, a date."""
    (tmp_path / "r.hea").write_bytes(header)
    (tmp_path / "r.dat").write_bytes(walk(5, 1000).astype("<i2").tobytes())
    assert load_header(tmp_path / "r").frames == 1000
    assert read_leads(tmp_path / "r")[0].fs_hz == pytest.approx(360)


PIECES = (
    b" ", b"\n", b"0", b"-1", b"9" * 12, b"1e9", b"~", b"a1", b"a2", b"v1", b"a", b"/2", b"/0",
    b"/9999", b"../a1", b"2000", b"1500", b"\x00", b"\xff", b"360", b"#",
)  # fmt: skip


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 6), st.sampled_from(PIECES)),
        min_size=1,
        max_size=3,
    )
)
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mutated_list_of_segments_is_refused_or_read(
    tmp_path: Path, changes: list[tuple[int, int, bytes]]
) -> None:
    """One line, or samples of every signal to the end."""
    if not (tmp_path / "a1.hea").exists():
        fixed(tmp_path)
    header = b"a/3 2 250 4000\na1 2000\n~ 500\na2 1500\n"
    for at, cut, piece in changes:
        at %= len(header) + 1
        header = header[:at] + piece + header[at + cut :]
    (tmp_path / "a.hea").write_bytes(header)
    refusal = ""
    try:
        read = load_header(tmp_path / "a")
        samples = read_leads(read.path, range(len(read.signals)))[1]
    except InputError as error:
        refusal = str(error)
    else:
        assert samples.shape[1] == max(
            read.frames * signal.samples_per_frame for signal in read.signals
        )
    assert refusal.isprintable()
