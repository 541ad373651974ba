"""Records made to harm are one line, soon, and cost no memory: in the reader's own process.

That process is the program itself. `test_a_child_process_for_reading_costs_too_much` measures
why; the rest of this module is what makes one unnecessary.
"""

import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from replay.annotations import read_annotations, read_beats
from replay.flac import stream_info
from replay.headers import DEMO_RECORD, load_header
from replay.records import derived_in, read_lead, read_leads
from tests.monitor.run.test_system import command, environment
from tests.support import hostile_records
from tests.support.hostile_cases import outcomes_of
from tests.support.limits import promised

pytestmark = pytest.mark.system

MOST_BYTES = 512 << 20


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What came of each case in a process of its own; a hang names the case before it."""
    return outcomes_of(hostile_records.__file__, tmp_path_factory.mktemp("hostile"), 60)


@promised(2.0)
@pytest.mark.parametrize("case", hostile_records.CASES)
def test_a_hostile_record_is_refused_soon_and_in_one_line(
    outcomes: dict[str, dict[str, object]], case: str, limit_s: float
) -> None:
    """Each is an `InputError` with the reason, within 2 s and 512 MiB."""
    outcome = outcomes[case]

    assert hostile_records.CASES[case][2] in str(outcome["refused"])
    assert str(outcome["refused"]).isprintable()
    assert float(str(outcome["seconds"])) < limit_s
    assert int(str(outcome["peak_bytes"])) < MOST_BYTES


@pytest.mark.parametrize("case", hostile_records.HARMLESS)
def test_what_only_looks_hostile_is_read(outcomes: dict[str, dict[str, object]], case: str) -> None:
    """The checks refuse nothing that header(5) allows and that costs nothing."""
    assert outcomes[case]["samples"] == 1000


def test_the_command_refuses_a_hostile_record(tmp_path: Path) -> None:
    """`monitor scan` of it is exit 2, one line, nothing on stdout; of a folder with one as well."""
    hostile_records.write(tmp_path / "a", hostile_records.CASES["a FIFO as signal file"])
    hostile_records.write(tmp_path / "b", hostile_records.CASES["a frame of a billion samples"])
    for record in (tmp_path / "a", tmp_path / "b" / "r.dat"):
        run = subprocess.run(
            command("scan", str(record)), env=environment(tmp_path),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

        assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)


def test_addresses_hide_behind_no_link(tmp_path: Path) -> None:
    """Wfdb opens a path with '::' as a chain of addresses, also where only the folder has it."""
    real, bad = tmp_path / "real", tmp_path / "a::b"
    for folder in (real, bad):
        hostile_records.write(folder, hostile_records.HARMLESS["a check sum that is wrong"])
    (bad / "r.hea").unlink()
    (bad / "r.hea").symlink_to(real / "r.hea")
    with pytest.raises(InputError, match="'::'"):
        load_header(bad / "r")


def test_annotations_are_read_from_the_file_that_was_checked(tmp_path: Path) -> None:
    """Whatever else is called like the record: here a link to a FIFO's name, without extension."""
    hostile_records.write(tmp_path / "a", hostile_records.HARMLESS["a check sum that is wrong"])
    (tmp_path / "a" / "r.atr").write_bytes((1 << 10 | 7).to_bytes(2, "little") + bytes(2))
    os.mkfifo(tmp_path / "trap.atr")
    (tmp_path / "a" / "r").symlink_to(tmp_path / "trap")

    assert read_beats(tmp_path / "a" / "r.hea")[0].tolist() == [7]


@pytest.mark.parametrize("data", [b"", b"\0", b"\x07\x04", b"\x07\x04\0\0\0"])
def test_a_reference_that_was_cut_is_refused(tmp_path: Path, data: bytes) -> None:
    """Without its end mark, an unknown number of beats is missing from an annotation file."""
    record = tmp_path / "a"
    hostile_records.write(record, hostile_records.HARMLESS["a check sum that is wrong"])
    (record / "r.atr").write_bytes(data)
    with pytest.raises(InputError, match="is cut"):
        read_beats(record / "r")


def test_the_largest_annotation_file_is_bounded(tmp_path: Path) -> None:
    """Two million annotations, each with text, are read or refused within seconds."""
    record = tmp_path / "a"
    hostile_records.write(record, hostile_records.HARMLESS["a check sum that is wrong"])
    for one in (b"\x05\x04", b"\x05\x04\x02\xfcab", b"\0\xec\0\0\0\0"):
        (record / "r.atr").write_bytes(one * (4 * 1024 * 1024 // len(one)))
        began = time.monotonic()
        read_annotations(record / "r", "atr")
        assert time.monotonic() - began < 30.0
    (record / "r.atr").write_bytes(bytes(4 * 1024 * 1024 + 1))
    with pytest.raises(InputError, match="over"):
        read_annotations(record / "r", "atr")


# --- mutations -------------------------------------------------------------------------------

HEADERS = (
    b"r 2 360 1000\nr.dat 212 200 11 1024 995 0 0 MLII\nr.dat 212 200 11 1024 1011 0 0 V5\n",
    b"r/3 2 360/1(0) 1000 12:00 1/2/1999\na 5\n~ 5\nb 5\n" + b"c 9\n" * 70,
    b"r 2 62.5 100\nr.dat 16x4:2+8 1(-3)/uV 16 0 0 0 0 II\nr.dat 16:1+8 1/mV 16 0 0 0 0 RESP\n",
    b"r 1 250 300\nr.dat 516 200/mV 16 0 0 0 0 II\n# age: 60\n",
    b"r 3 360\nr.dat 311 0 10\nq.dat 80 1e2/V\nq.dat 80 1e2/NU 8 128 0 0 0 PLETH\n",
)
PIECES = (
    b" ", b"\t", b"\n", b"\r", b"0", b"-1", b"9" * 12, b"1e9", b"nan", b".", b"212", b"516", b"508",
    b"8", b"r.dat", b"q.dat", b"../x", b"/2", b"x3", b"x99999999", b":9", b"+7", b"(5)", b"/mV",
    b"e-320", b"\x00", b"\x1b[", b"\x1c", b"\x85", b"\xff", b"\xc2\xa0", b"\xd9\xa3", b"#", b"~",
    b"r", b"A" * 70,
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 12), st.sampled_from(PIECES)),
    min_size=1,
    max_size=4,
)


def read_or_refused(record: Path) -> bool:
    """Say whether a record was read whole; if not, it was refused in one printable line."""
    refusal = ""
    try:
        info, samples = read_lead(record)
    except InputError as error:
        refusal = str(error)
    else:
        assert samples.size == info.total_samples
    assert refusal.isprintable()
    return not refusal


def write_mutated(folder: Path, header: bytes, changes: list[tuple[int, int, bytes]]) -> Path:
    """Write a header with pieces of it exchanged, and its signal files; return its path."""
    for at, cut, piece in changes:
        at %= len(header) + 1
        header = header[:at] + piece + header[at + cut :]
    (folder / "r.hea").write_bytes(header)
    for name in ("r.dat", "q.dat"):
        (folder / name).write_bytes(bytes(3000))
    return folder / "r.hea"


@given(header=st.sampled_from(HEADERS), changes=CHANGES)
@settings(
    deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mutated_header_is_refused_or_read(
    tmp_path: Path, header: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    """One that is nearly right raises `InputError` and nothing else, or is read to its end."""
    read_or_refused(write_mutated(tmp_path, header, changes))


@given(header=st.sampled_from(HEADERS), changes=CHANGES)
@settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_all_leads_of_a_mutated_header_are_refused_or_read(
    tmp_path: Path, header: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    """Whatever their rates, files, skews and names are."""
    record = write_mutated(tmp_path, header, changes)
    refusal = ""
    try:
        checked = load_header(record)
        info, samples = read_leads(record, range(len(checked.signals)))
        derived_in(checked, range(len(checked.signals)))
    except InputError as error:
        refusal = str(error)
    else:
        assert samples.shape == (len(info.leads), info.total_samples)
        assert len(set(info.leads)) == len(info.leads)
    assert refusal.isprintable()


@pytest.fixture(scope="module")
def flac(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record whose signal file is FLAC, as wfdb writes it."""
    folder = tmp_path_factory.mktemp("flac")
    read_lead(DEMO_RECORD)  # imports wfdb, past the warnings of its import
    import wfdb

    values = np.random.default_rng(3).integers(-90, 90, (3000, 2)).cumsum(axis=0)
    wfdb.wrsamp(
        "r", 360, ["mV", "mV"], ["II", "V1"], d_signal=values, fmt=["516", "516"],
        adc_gain=[200.0, 200.0], baseline=[0, 0], write_dir=str(folder),
    )  # fmt: skip
    return folder


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_a_mutated_flac_file_is_refused_or_read(flac: Path) -> None:
    """Its decoder, written in C, neither crashes, hangs nor grows on untrusted bytes."""
    good = (flac / "r.dat").read_bytes()
    random = np.random.default_rng(5)
    read, began, peak = 0, time.monotonic(), hostile_records.peak_bytes()
    for _ in range(1500):
        altered = bytearray(good)
        # The first hundred bytes describe the rest: most changes go there.
        reach = 100 if random.random() < 0.8 else len(good)
        for at in random.integers(0, reach, random.integers(1, 5)):
            altered[at] = random.integers(0, 256)
        if random.random() < 0.2:
            del altered[random.integers(0, len(good)) :]
        (flac / "r.dat").write_bytes(altered)
        read += read_or_refused(flac / "r")
    (flac / "r.dat").write_bytes(good)
    assert 0 < read < 1500
    assert time.monotonic() - began < 60.0
    assert hostile_records.peak_bytes() - peak < MOST_BYTES // 4


@given(head=st.binary(max_size=60), size=st.integers(0, 2**40))
def test_any_bytes_are_flac_or_none(head: bytes, size: int) -> None:
    """The check of the beginning fails on nothing, and never believes in more than fits."""
    for start in (
        head,
        b"fLaC\x80\x00\x00\x22" + head,
        b"fLaC\x80\x00\x00\x22" + head + b"\xff\xf8",
    ):
        info = stream_info(start, max(size, len(start)))
        assert info is None or info.max_samples <= max(size, len(start)) * 6554


# --- the choice ------------------------------------------------------------------------------


def _read_in_child(answer: Connection) -> None:
    limit = hostile_records.ADDRESS_SPACE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    answer.send(read_lead(DEMO_RECORD)[1].size)


@pytest.mark.slow
def test_a_child_process_for_reading_costs_too_much(capsys: pytest.CaptureFixture[str]) -> None:
    """A record read in a child of its own costs over 100 ms more: so the checks have to do.

    Should this fail one day, reading in a child has become cheap enough to be chosen instead.
    """
    spawn = multiprocessing.get_context("spawn")
    own, child = [], []
    expected = read_lead(DEMO_RECORD)[1].size
    for _ in range(7):
        began = time.perf_counter()
        read_lead(DEMO_RECORD)
        own.append(1e3 * (time.perf_counter() - began))
        began = time.perf_counter()
        here, there = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_read_in_child, args=(there,))
        process.start()
        assert here.poll(30)
        assert here.recv() == expected
        process.join(30)
        child.append(1e3 * (time.perf_counter() - began))
    cost_ms = statistics.median(child) - statistics.median(own)
    with capsys.disabled():
        sys.stdout.write(
            f"\none record: {statistics.median(own):.1f} ms here, "
            f"{statistics.median(child):.0f} ms in a child process\n"
        )

    assert cost_ms > 100
