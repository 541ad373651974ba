"""Records are read as WFDB means them, whatever their format, and replayed as they are."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, InputError, LeadError
from pipeline.schema.messages import FLAG_SATURATED
from pipeline.signal.samples import SampleBlock
from replay.annotations import read_beats, read_flutter
from replay.headers import DEMO_RECORD, load_header
from replay.lead_sets.frames import wfdb_library
from replay.lead_sets.reading import LeadReader
from replay.leads import choose_lead, lead_choice
from replay.records import RecordSource, read_lead, stream_name, write_beats
from tests.replay.test_pacing import Clock
from tests.support.databases import database

FORMAT_BITS = {
    "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12, "310": 10, "311": 10,
    "508": 8, "516": 16, "524": 24,
}  # fmt: skip


WRITTEN_BY_WFDB = frozenset({"16", "24", "32", "80", "212", "508", "516", "524"})

uses_wfdb = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
"""For calls of wfdb 4.3 itself, which uses what pandas 3.1 deprecates."""


@pytest.fixture(scope="module")
def wfdb() -> object:
    """The library itself, as the reference."""
    with wfdb_library() as library:
        return library


def write_raw(folder: Path, values: np.ndarray, fields: str, rate: str = "360") -> Path:
    """Write int16 values as a record ``r`` of one signal; return its header."""
    values.astype("<i2").tofile(folder / "r.dat")
    header = folder / "r.hea"
    header.write_text(f"r 1 {rate} {values.size}\nr.dat {fields}\n")
    return header


def blocks_of(source: RecordSource) -> list[SampleBlock]:
    """Return all blocks of a source."""
    return [block for block in source.blocks() if block is not None]


def packed(form: str, values: np.ndarray) -> bytes:
    """Return values in one of the formats that wfdb reads but does not write (signal(5))."""
    if form == "61":
        return values.astype(">i2").tobytes()
    if form == "160":
        return (values + 32768).astype("<u2").tobytes()
    first, second, third = (values.ravel()[i::3] & 0x3FF for i in range(3))
    if form == "310":
        rows = (first << 1, (first >> 7) | third << 3, second << 1, (second >> 7) | third >> 5 << 3)
    else:
        rows = (first, (first >> 8) | second << 2, (second >> 6) | third << 4, third >> 4)
    return np.column_stack([row & 0xFF for row in rows]).astype(np.uint8).tobytes()


@uses_wfdb
@pytest.mark.parametrize("form", FORMAT_BITS)
def test_every_format_is_read_as_it_was_written(tmp_path: Path, wfdb: object, form: str) -> None:
    """Digital values in any format come back from each of three leads, in mV."""
    half = 2 ** (min(FORMAT_BITS[form], 20) - 1)
    values = np.random.default_rng(1).integers(-half + 1, half, (601, 3))
    wfdb.wrsamp(  # type: ignore[attr-defined]
        "r", 360, ["mV", "uV", "V"], ["I", "II", "V1"], d_signal=values,
        fmt=[form if form in WRITTEN_BY_WFDB else "32"] * 3,
        adc_gain=[200.0, 1000.0, 10.0], baseline=[5, 0, -3], write_dir=str(tmp_path),
    )  # fmt: skip
    if form not in WRITTEN_BY_WFDB:
        header = tmp_path / "r.hea"
        header.write_text(header.read_text().replace("r.dat 32 ", f"r.dat {form} "))
        (tmp_path / "r.dat").write_bytes(packed(form, values))
    scales = {"I": (200, 5, 1), "II": (1000, 0, 1e-3), "V1": (10, -3, 1e3)}
    for column, (lead, (gain, zero, unit_mv)) in enumerate(scales.items()):
        info, samples = read_lead(tmp_path / "r", lead)
        assert (info.fs_hz, info.lead, info.total_samples) == (360.0, lead, 601)
        assert samples.dtype == np.float32
        np.testing.assert_allclose(samples, (values[:, column] - zero) / gain * unit_mv, rtol=1e-6)


@uses_wfdb
@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["mitdb/100", "mitdb/114", "nstdb/118e_6", "nstdb/bw", "challenge2015/a161l"]
)
def test_real_records_are_read_as_wfdb_reads_them(wfdb: object, name: str) -> None:
    """The samples equal those of wfdb.rdrecord, to the last bit of float32."""
    path = database(name.split("/")[0]) / name.split("/")[1]
    index = choose_lead(load_header(path))
    reference = wfdb.rdrecord(str(path), channels=[index])  # type: ignore[attr-defined]
    info, samples = read_lead(path)
    assert info.fs_hz == reference.fs
    np.testing.assert_array_equal(samples, reference.p_signal[:, 0].astype(np.float32))


@pytest.mark.data
def test_default_leads_of_real_records() -> None:
    """MLII is chosen although it is second (114); a .mat's II is preferred to its pulse."""
    assert read_lead(database("mitdb") / "114")[0].lead == "MLII"
    assert read_lead(database("challenge2015") / "a161l")[0].lead == "II"
    assert read_lead(database("vfdb") / "418", "1")[0].lead == "ECG"


def leads(folder: Path, *names: str) -> Path:
    """Write a record whose signals have these units and names, as in 'mV II'."""
    lines = [f"r.dat 16 200/{name.split()[0]} 16 0 0 0 0 {name.split()[1]}" for name in names]
    (folder / "r.hea").write_text(f"r {len(names)} 360 10\n" + "\n".join(lines) + "\n")
    (folder / "r.dat").write_bytes(bytes(20 * len(names)))
    return folder / "r.hea"


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        (("mV V5", "mV MLII"), None, 1),
        (("mV V5", "mV ii"), None, 1),
        (("mV II", "mV MLII"), None, 1),
        (("NU PLETH", "mmHg ABP", "mV V"), None, 2),
        (("mV RESP", "uV ECG1"), None, 1),
        (("mV V5", "mV V1"), "v1", 1),
        (("mV V5", "mV V1"), "1", 1),
        (("mV 1", "mV 0"), "1", 0),
        (("mV 1", "mV 0"), 1, 1),
        (("mV PLETH", "mV V"), "PLETH", 0),
        (("uV F3-M2", "uV C3-M2", "mV ECG"), None, 2),
        (("mV PCG", "mV ECG"), None, 1),
        (("mV skin", "mV foot_GSR", "mV CM5"), None, 2),
        (("mV record_0", "mV mod.V5"), None, 1),
        (("mV noise1", "mV noise2"), None, 0),
        (("mV O2", "mV 0"), None, 1),
    ],
)
def test_the_lead_is_chosen_by_name_index_or_kind(
    tmp_path: Path, names: tuple[str, ...], wanted: str | int | None, expected: int
) -> None:
    """By name, then by index; by default MLII, II, the first named like an ECG, the first other."""
    assert choose_lead(load_header(leads(tmp_path, *names)), wanted) == expected


@pytest.mark.parametrize("wanted", ["V9", "2", "-1", "٣", "", "\x1b[2J", 2, -1])
def test_an_unknown_lead_lists_those_there_are(tmp_path: Path, wanted: str | int) -> None:
    """The refusal is printable and names the leads."""
    header = load_header(leads(tmp_path, "mV II", "mV V1"))
    with pytest.raises(LeadError, match=r"'II'.*'V1'") as caught:
        choose_lead(header, wanted)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("names", [("NU PLETH", "mmHg ABP"), ("uV C3-A2", "mV Resp", "mV PLETH")])
def test_a_record_without_ecg_asks_which_lead(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A pulse wave or an EEG is never chosen as the ECG by default; the signals are named."""
    with pytest.raises(LeadError, match=r"PLETH.*--lead"):
        read_lead(leads(tmp_path, *names))


def test_what_was_chosen_is_said_with_its_reason(tmp_path: Path) -> None:
    """In one line: the lead, why, what else could be one, and what is none, of several signals."""

    def why(*names: str, lead: str | None = None) -> str:
        return lead_choice(load_header(leads(tmp_path, *names)), lead).why

    assert why("uV F3-M2", "mV ECG") == (
        "lead 'ECG' is taken, the only one named like an ECG; "
        "no ECG: 'F3-M2' (EEG electrode); --lead takes another"
    )
    assert why("mV V1", "mV II") == (
        "lead 'II' is taken, the usual one for rhythm; 'V1' may be ECG, too; --lead takes another"
    )
    assert "none is named like one" in why("mV record_0", "mV record_1")
    assert why("mV V1", "mV II", lead="V1") == why("mV V1") == ""


@pytest.mark.parametrize("lead", ["PLETH", 0, "0"])
def test_a_lead_that_is_no_voltage_is_refused_by_any_name(tmp_path: Path, lead: str | int) -> None:
    """By name or by default: the height of its QRS complexes is unknown."""
    with pytest.raises(LeadError, match="'NU', which is no voltage"):
        read_lead(leads(tmp_path, "NU PLETH", "mV V"), lead)


def test_a_lead_sampled_too_slowly_is_refused(tmp_path: Path) -> None:
    """The rate of the chosen lead counts, not that of the frames."""
    with pytest.raises(LeadError, match="10 Hz"):
        read_lead(write_raw(tmp_path, np.arange(100), "16 200/mV", rate="10"))


@uses_wfdb
def test_several_samples_a_frame_raise_the_rate_of_the_lead(tmp_path: Path, wfdb: object) -> None:
    """A lead with four samples a frame is read with all of them; annotations follow."""
    frames = 500
    ecg, slow = np.arange(4 * frames) % 3000, np.arange(frames)
    frame = np.column_stack((ecg.reshape(frames, 4), slow)).astype("<i2")
    frame.tofile(tmp_path / "r.dat")
    (tmp_path / "r.hea").write_text(
        f"r 2 62.5 {frames}\nr.dat 16x4 1/mV 16 0 0 0 0 II\nr.dat 16 1/mV 16 0 0 0 0 RESP\n"
    )
    info, samples = read_lead(tmp_path / "r")
    assert info.fs_hz == 250.0
    np.testing.assert_array_equal(samples, ecg)
    source = RecordSource(tmp_path / "r", speed=None, start_s=1.0)
    assert blocks_of(source)[0].first_sample == 250
    wfdb.wrann("r", "atr", np.array([10, 20]), ["N", "V"], write_dir=str(tmp_path))  # type: ignore[attr-defined]
    assert read_beats(tmp_path / "r")[0].tolist() == [40, 80]


def test_skew_is_undone(tmp_path: Path) -> None:
    """A lead that was stored three frames late is moved back; what it lacks at the end is NaN."""
    samples = read_lead(write_raw(tmp_path, np.arange(10), "16:3 1/mV"))[1]
    np.testing.assert_array_equal(samples, [3, 4, 5, 6, 7, 8, 9, np.nan, np.nan, np.nan])


def test_the_invalid_value_becomes_nan(tmp_path: Path) -> None:
    """-32768 in format 16 means that there is no sample."""
    samples = read_lead(write_raw(tmp_path, np.array([1, -32768, 3]), "16 1/mV"))[1]
    np.testing.assert_array_equal(samples, [1, np.nan, 3])


def flagged(path: Path) -> list[int]:
    """Return the positions that a record's source flags as saturated."""
    found: list[int] = []
    for block in blocks_of(RecordSource(path, speed=None)):
        if block.flags is not None:
            assert block.flags.dtype == np.uint8
            found += (block.first_sample + np.flatnonzero(block.flags & FLAG_SATURATED)).tolist()
    return found


def test_five_samples_at_a_rail_are_saturation_and_four_are_not(tmp_path: Path) -> None:
    """The rails are those of the converter that the header describes."""
    values = np.full(50, 1000)
    values[10:15], values[20:24], values[30:36] = 2047, 2047, 0
    path = write_raw(tmp_path, values, "16 200/mV 11 1024")
    assert flagged(path) == [*range(10, 15), *range(30, 36)]


@pytest.mark.parametrize("fields", ["16 200/mV", "16 200/mV 0 0", "16 200(1024)/mV 11 0"])
def test_rails_that_are_unknown_or_untrue_flag_nothing(tmp_path: Path, fields: str) -> None:
    """Without a resolution, or with a zero outside of its range, only the format has rails."""
    values = np.full(40, 1023)
    values[10:20] = 32767
    values[30:40] = -1024
    assert flagged(write_raw(tmp_path, values, fields)) == list(range(10, 20))


def test_samples_beyond_a_rail_disprove_it(tmp_path: Path) -> None:
    """A converter cannot give more than its range: the header is wrong, not the signal."""
    values = np.full(40, 2047)
    values[20] = 2060
    assert flagged(write_raw(tmp_path, values, "16 200/mV 11 1024")) == []


@given(cuts=st.lists(st.integers(1, 599), max_size=12), seed=st.integers(0, 2**32 - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_how_a_lead_is_cut_does_not_matter(tmp_path: Path, cuts: list[int], seed: int) -> None:
    """Samples and flags of any pieces, joined, are those of the whole."""
    values = np.random.default_rng(seed).choice([-1, 0, 1, 2, 3], 600).cumsum().clip(0, 31)
    path = write_raw(tmp_path, values, "16:2 10/mV 5 16")
    reader = LeadReader(load_header(path), 0)
    edges = [0, *sorted(set(cuts)), 600]
    pieces = [reader.read(a, b) for a, b in itertools.pairwise(edges)]
    whole, flags = reader.read(0, 600)
    np.testing.assert_array_equal(np.concatenate([p[0] for p in pieces]), whole)
    none = np.zeros(600, dtype=np.uint8)
    joined = [np.zeros(s.size, dtype=np.uint8) if f is None else f for s, f in pieces]
    np.testing.assert_array_equal(np.concatenate(joined), none if flags is None else flags)


@uses_wfdb
def test_a_torn_flac_file_is_one_clear_line(tmp_path: Path, wfdb: object) -> None:
    """Damage that no header check can see ends in InputError when it is met."""
    values = np.random.default_rng(2).integers(-1000, 1000, (20_000, 1))
    wfdb.wrsamp(  # type: ignore[attr-defined]
        "r", 360, ["mV"], ["II"], d_signal=values, fmt=["516"], adc_gain=[200.0], baseline=[0],
        write_dir=str(tmp_path),
    )  # fmt: skip
    data = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot be decoded"):
        read_lead(tmp_path / "r")


# --- annotations -----------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 43_199), st.sampled_from("NVASFR")), max_size=40))
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_written_beats_are_read_back(tmp_path: Path, beats: list[tuple[int, str]]) -> None:
    """Any ascending beats, none included, survive the annotation file."""
    beats.sort()
    for name in ("demo.hea", "demo.dat"):
        (tmp_path / name).write_bytes((DEMO_RECORD.parent / name).read_bytes())
    samples, symbols = np.array([at for at, _ in beats], dtype=np.int64), [s for _, s in beats]
    written = write_beats(tmp_path, "demo", "tst", samples, symbols, 360.0)
    assert written == tmp_path / "demo.tst"
    got, got_symbols = read_beats(tmp_path / "demo", "tst")
    assert got.dtype == np.int64
    assert (got.tolist(), got_symbols) == (samples.tolist(), symbols)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.dat", "demo.hea", "demo.tst"]


@pytest.mark.parametrize(("name", "extension"), [("../x", "tst"), ("x", "t/x"), ("", "tst")])
def test_annotation_names_stay_in_their_folder(tmp_path: Path, name: str, extension: str) -> None:
    """Names that WFDB does not allow are refused before anything is written."""
    with pytest.raises(InputError):
        write_beats(tmp_path, name, extension, np.array([1]), ["N"], 360.0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """A folder that does not exist is not created for annotations."""
    with pytest.raises(InputError, match="cannot write"):
        write_beats(tmp_path / "nope", "x", "tst", np.array([1]), ["N"], 360.0)


@given(st.binary(max_size=200))
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_as_annotations_are_refused_or_read(tmp_path: Path, data: bytes) -> None:
    """Random annotation files end in InputError or in beats inside the record, in order."""
    path = write_raw(tmp_path, np.zeros(1000), "16 200")
    (tmp_path / "r.atr").write_bytes(data)
    try:
        samples, symbols = read_beats(path)
    except InputError:
        return
    assert len(symbols) == samples.size
    assert (np.diff(samples) >= 0).all()
    assert ((samples >= 0) & (samples < 1000)).all()


@uses_wfdb
@pytest.mark.parametrize("beyond", [0, 1, 54])
def test_a_last_beat_that_the_end_cuts_is_at_the_last_sample(
    tmp_path: Path, wfdb: object, beyond: int
) -> None:
    """A reference may mark it at the end of the signal, or up to 150 ms after (SVDB does)."""
    path = write_raw(tmp_path, np.zeros(1000), "16 200")
    marks = np.array([500, 1000 + beyond])
    wfdb.wrann("r", "atr", marks, ["N", "V"], write_dir=str(tmp_path))  # type: ignore[attr-defined]
    samples, symbols = read_beats(path)
    assert (samples.tolist(), symbols) == ([500, 999], ["N", "V"])


@uses_wfdb
def test_a_beat_clearly_outside_the_record_is_refused(tmp_path: Path, wfdb: object) -> None:
    """No beat that lies 55 samples of 360 a second after the end has begun before it."""
    path = write_raw(tmp_path, np.zeros(1000), "16 200")
    wfdb.wrann("r", "atr", np.array([500, 1055]), ["N", "V"], write_dir=str(tmp_path))  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"0\.15 s after its 1,000 samples"):
        read_beats(path)


def test_missing_annotations_are_one_clear_line(tmp_path: Path) -> None:
    """Missing annotations are an error; an annotator's name cannot lead to another folder."""
    path = write_raw(tmp_path, np.zeros(10), "16")
    with pytest.raises(InputError, match="annotation file"):
        read_beats(path)
    with pytest.raises(InputError, match="annotator"):
        read_beats(path, "../atr")


@pytest.mark.data
def test_beats_of_a_real_record() -> None:
    """Record 208 has 992 ventricular beats; rhythm and comment annotations are no beats."""
    samples, symbols = read_beats(database("mitdb") / "208")
    assert samples.size == len(symbols) == 2955
    assert symbols.count("V") == 992


# --- the source ------------------------------------------------------------------------------


def test_a_replay_yields_the_record_without_gap_or_repeat() -> None:
    """At full speed and in real time, the blocks joined are the lead itself."""
    whole = read_lead(DEMO_RECORD)[1]
    clock = Clock()
    for speed in (None, 50.0):
        source = RecordSource(DEMO_RECORD, speed=speed, clock=clock, wait=clock.wait)
        blocks = blocks_of(source)
        assert source.info.stream == "demo"
        assert source.info.total_samples == whole.size
        edges = np.cumsum([0, *(block.samples.size for block in blocks)])
        assert [block.first_sample for block in blocks] == edges[:-1].tolist()
        np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), whole)


def test_start_and_duration_keep_the_records_own_positions() -> None:
    """With a start at 60 s the first sample is number 21,600, and the blocks end in time."""
    clock = Clock()
    source = RecordSource(
        DEMO_RECORD, speed=2.0, start_s=60, duration_s=10, clock=clock, wait=clock.wait
    )
    began_s = clock.now_s
    blocks = blocks_of(source)
    assert blocks[0].first_sample == 21_600
    assert sum(block.samples.size for block in blocks) == 3600 == source.info.total_samples
    assert clock.now_s - began_s == pytest.approx(5.0)


def test_a_short_record_that_is_looped_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands that are played over and over do not read their files again each time."""
    source, reads = RecordSource(DEMO_RECORD, speed=None, loop=True), []
    read = source._reader.read
    monkeypatch.setattr(source._reader, "read", lambda *part: reads.append(part) or read(*part))
    found = [block for block in itertools.islice(source.blocks(), 24) if block is not None]
    assert reads == [(0, 43_200)]
    assert [block.epoch for block in found] == [0] * 12 + [1] * 12
    for once, again in zip(found[:12], found[12:], strict=True):
        np.testing.assert_array_equal(once.samples, again.samples)
        assert (once.flags is None) == (again.flags is None)


def test_a_loop_starts_the_next_epoch_where_it_started() -> None:
    """A looped record is endless: the same positions in the next epoch, still paced."""
    clock = Clock()
    source = RecordSource(
        DEMO_RECORD, start_s=30, duration_s=1, loop=True, clock=clock, wait=clock.wait
    )
    began_s, seen = clock.now_s, []
    for block in source.blocks():
        assert block is not None
        seen.append((block.epoch, block.first_sample))
        if block.epoch == 3:
            break
    assert [at for epoch, at in seen if epoch == 0] == [at for epoch, at in seen if epoch == 2]
    assert {epoch for epoch, _ in seen} == {0, 1, 2, 3}
    assert clock.now_s - began_s == pytest.approx(3.0, abs=0.03)


def test_a_source_has_something_to_say_every_250_ms(tmp_path: Path) -> None:
    """While no sample is due it yields None, so that its reader stays awake."""
    clock = Clock()
    source = RecordSource(DEMO_RECORD, speed=0.01, clock=clock, wait=clock.wait)
    stamps = [clock.now_s]
    for _, _block in zip(range(20), source.blocks(), strict=False):
        stamps.append(clock.now_s)
    assert max(np.diff(stamps)) <= 0.25 + 1e-9


def test_a_closed_source_ends() -> None:
    """`close` ends the blocks, twice as well as once."""
    source = RecordSource(DEMO_RECORD, speed=None, loop=True)
    blocks = source.blocks()
    assert next(blocks) is not None
    source.close()
    source.close()
    assert list(blocks) == []


@pytest.mark.parametrize(
    "settings",
    [{"start_s": -1.0}, {"start_s": 120.0}, {"start_s": float("nan")}, {"duration_s": 0.0},
     {"speed": 0.0}],
)  # fmt: skip
def test_settings_that_leave_nothing_to_play_are_refused(settings: dict[str, float]) -> None:
    """A start beyond the end, no duration, no speed: refused before anything is sent."""
    with pytest.raises(ConfigError):
        RecordSource(DEMO_RECORD, **settings)


def test_stream_names_are_fit_for_the_wire() -> None:
    """Whatever a file is called, the stream's name is letters, digits, '.', '_' and '-'."""
    assert stream_name(Path("a/118e_6.hea")) == "118e_6"
    assert stream_name(Path("år 1/\x1b].hea")) == "__"
    assert len(stream_name(Path("x" * 200 + ".hea"))) == 64


@uses_wfdb
def test_flutter_is_no_place_for_beats(tmp_path: Path, wfdb: object) -> None:
    """Episodes are read from their marks; one without an end lasts for ever."""
    (tmp_path / "r.dat").write_bytes(bytes(20000))
    (tmp_path / "r.hea").write_text("r 1 360 10000\nr.dat 16 200/mV 16 0 0 0 0 MLII\n")
    samples, symbols = np.array([10, 100, 250, 300, 700]), ["N", "[", "!", "]", "["]
    wfdb.wrann("r", "atr", samples, symbols, write_dir=str(tmp_path))  # type: ignore[attr-defined]

    assert read_flutter(tmp_path / "r") == [(100, 300), (700, np.iinfo(np.int64).max)]
