"""Files made to harm are one line, soon, and cost no memory, whatever their format is."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from replay.files import foreign
from replay.files.recordings import open_recording
from replay.files.stated import NOTHING, Stated
from tests.support import hostile_files, recordings
from tests.support.hostile_cases import outcomes_of
from tests.support.limits import promised

pytestmark = pytest.mark.system

MOST_BYTES = 512 << 20


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What came of each case in a process of its own; a hang names the case before it."""
    return outcomes_of(hostile_files.__file__, tmp_path_factory.mktemp("hostile"), 100)


@promised(5.0)
@pytest.mark.parametrize("case", hostile_files.CASES)
def test_a_hostile_file_is_refused_soon_and_in_one_line(
    outcomes: dict[str, dict[str, object]], case: str, limit_s: float
) -> None:
    """Each is an `InputError` with the reason, within seconds and 512 MiB."""
    outcome = outcomes[case]

    assert re.search(hostile_files.CASES[case][2], str(outcome.get("refused"))), outcome
    assert str(outcome["refused"]).isprintable()
    assert float(str(outcome["seconds"])) < limit_s
    assert int(str(outcome["peak_bytes"])) < MOST_BYTES


# --- mutations -------------------------------------------------------------------------------

PIECES = (
    b" ", b"\n", b"\r", b",", b";", b"\t", b'"', b"0", b"-1", b"9" * 12, b"1e9", b"1e-9", b"nan",
    b"-", b".", b"\x00", b"\x1b[", b"\xff", b"\xc2\xb5", b"EDF Annotations ", b"EDF+D", b"+1\x14",
    b"time", b"[ms]", b"mV", b"#", b"'", b"(", b"12:00:00", b"2021-03-04T05:06:07", b"A" * 70,
)  # fmt: skip
ADC = hostile_files.ADC[: 6 * recordings.RATE_HZ]
DATED = b"".join(b"2021-03-04T05:06:%06.3f\t1\n" % (n / 250) for n in range(2500))
SEEDS: tuple[tuple[str, bytes], ...] = (
    ("x.edf", recordings.edf_bytes(ADC)),
    ("x.edf", recordings.edf_bytes(ADC, onsets=[0, 1, 2, 4, 5, 6])),
    ("x.edf", b"\xffBIOSEMI" + recordings.edf_bytes(hostile_files.ADC, records=-1)[8:]),
    ("x.csv", b"t [s],II [mV],note\n" + b"".join(b"%.4f,1,x\n" % (n / 360) for n in range(2500))),
    ("x.csv", b"Zeit (ms);II (mV)\r\n" + b"".join(b"%d;0,1\r\n" % (4 * n) for n in range(2500))),
    ("x.csv", b"t\tII_mV\n" + DATED),
    ("x.csv", b"Lead,II\nUnit,mV\nSample Rate,360 hertz\n\n" + b"0.125\n" * 2500),
    ("x.npy", hostile_files.array(hostile_files.described("'<f4'", "(4000, 2)"))),
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.integers(0, 1200), st.integers(0, 12), st.sampled_from(PIECES)),
    min_size=1,
    max_size=4,
)


def stated_of(name: str) -> Stated:
    """Return what has to be stated of a seed."""
    return hostile_files.STATED if name == "x.npy" else NOTHING


def mutated(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Return a file with pieces of it exchanged."""
    for at, cut, piece in changes:
        at %= len(data) + 1
        data = data[:at] + piece + data[at + cut :]
    return data


def read_or_refused(path: Path, stated: Stated) -> bool:
    """Say whether a file was read whole; if not, it was refused in one printable line."""
    refusal = ""
    try:
        assert hostile_files.read_whole(path, stated) > 0
    except InputError as error:
        refusal = str(error)
    assert refusal.isprintable()
    return not refusal


@given(seed=st.sampled_from(range(len(SEEDS))), changes=CHANGES, stated=st.booleans())
@settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mutated_file_is_refused_or_read(
    tmp_path: Path, seed: int, changes: list[tuple[int, int, bytes]], stated: bool
) -> None:
    """One that is nearly right raises `InputError` and nothing else, or is read to its end."""
    name, data = SEEDS[seed]
    (tmp_path / name).write_bytes(mutated(data, changes))
    read_or_refused(tmp_path / name, hostile_files.STATED if stated else NOTHING)


def test_what_is_mutated_can_be_read(tmp_path: Path) -> None:
    """The seeds of the property are good files."""
    for name, data in SEEDS:
        (tmp_path / name).write_bytes(data)
        assert read_or_refused(tmp_path / name, stated_of(name)), data[:80]


DECODED: tuple[Callable[[Path, np.ndarray], recordings.Written], ...] = (
    recordings.matlab, recordings.parquet, recordings.ishne, recordings.scp, recordings.aecg,
    recordings.muse, recordings.dicom,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)  # thirty children, each a second and more on a busy machine
@pytest.mark.parametrize("writer", DECODED)
def test_a_mutated_file_ends_no_more_than_its_decoder(
    tmp_path: Path, writer: Callable[[Path, np.ndarray], recordings.Written]
) -> None:
    """Whatever the child does with it, the parent reads samples or one line."""
    path, _ = writer(tmp_path, ADC)
    good, random = path.read_bytes(), np.random.default_rng(6)
    for _ in range(30):
        altered = bytearray(good)
        reach = 600 if random.random() < 0.8 else len(good)
        for at in random.integers(0, min(reach, len(good)), random.integers(1, 5)):
            altered[at] = random.integers(0, 256)
        if random.random() < 0.2:
            del altered[random.integers(0, len(good)) :]
        path.write_bytes(altered)
        read_or_refused(path, hostile_files.STATED)


# --- the child -------------------------------------------------------------------------------


def test_a_decoder_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it would take."""
    path, _ = recordings.ishne(tmp_path, ADC)
    monkeypatch.setattr(foreign, "LONGEST_S", 0.0)
    with pytest.raises(InputError, match="more memory or time than a recording needs"):
        open_recording(path)


def test_a_decoder_writes_no_file_and_has_little_memory(tmp_path: Path) -> None:
    """Its limits are in force before it looks at a file."""
    program = (
        "import sys; from replay.files import decoder\n"
        "def other(path, columns):\n"
        "    try: bytearray(3 << 30); print('memory')\n"
        "    except MemoryError: pass\n"
        "    open(path, 'wb').write(b'x')\n"
        "decoder.other = other; decoder.main()\n"
    )
    target = tmp_path / "written"
    run = subprocess.run(
        [sys.executable, "-c", program, "other", str(target)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    assert target.read_bytes() == b""
    assert "memory" not in run.stdout
    assert run.returncode != 0


GOOD = {"columns": [["II", "mV"], ["V5", "mV"]], "fs_hz": 360.0, "rows": 100, "start": None}


@given(
    said=st.dictionaries(
        st.sampled_from(list(GOOD)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
        | st.lists(st.lists(st.text(), max_size=3), max_size=70),
        max_size=2,
    ),
    samples=st.integers(0, 1000),
)  # fmt: skip
def test_what_a_decoder_says_is_not_believed(said: dict[str, object], samples: int) -> None:
    """Counts, names, units, rate, date and the number of samples are checked, or refused."""
    out = io.BytesIO(json.dumps({**GOOD, **said}).encode() + b"\n" + bytes(samples))
    refusal = ""
    try:
        columns, fs_hz, _, spool = foreign._received(Path("x"), out)
    except InputError as error:
        refusal = str(error)
    else:
        assert spool.size == samples == 4 * len(columns) * (samples // 4 // len(columns))
        assert fs_hz is None or 0 < fs_hz < float("inf")
        assert all(column.name.isprintable() for column in columns)
    assert refusal.isprintable()


def test_an_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("pyarrow", "ecgdatakit"):
        code = f"raise ModuleNotFoundError('it is not there', name={name!r})\n"
        (blocked / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(blocked))
    for writer, extra in ((recordings.parquet, "parquet"), (recordings.muse, "formats")):
        path, _ = writer(tmp_path, ADC)
        with pytest.raises(InputError, match=rf"pip install 'ecg-monitor\[{extra}\]'"):
            open_recording(path)


def test_a_long_file_lies_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples beyond some megabytes are in a file without a name, and read the same."""
    path, stated = recordings.parquet(tmp_path, ADC)
    expected = open_recording(path, Stated.of(**stated)).read(1, 100, 900)[0]  # type: ignore[misc]
    monkeypatch.setattr(foreign, "_IN_MEMORY", 1000)
    found = open_recording(path, Stated.of(**stated)).read(1, 100, 900)[0]  # type: ignore[misc]
    np.testing.assert_array_equal(found, expected)
