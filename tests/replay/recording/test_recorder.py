"""A hub that records: whatever happens to hub, disk and source, the signal is there once."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.commands.running.status import troubles
from monitor.metrics import metrics_of
from pipeline.schema.messages import FLAG_LEAD_OFF, FLAG_SATURATED, Chunk, End
from pipeline.schema.public import encode_json
from pipeline.schema.requests import State, decode_control_reply
from pipeline.transport.sockets import Dealer
from replay.annotations import read_annotations
from replay.headers import load_header
from replay.recording import files, recorder, track
from replay.recording.recorder import Recorder
from replay.recording.retention import apply, parse_keep
from replay.recording.segment import read_segment
from replay.recording.source import RecordingSource, recordings
from replay.records import read_leads
from tests.pipeline.hub.test_hub_survives import all_scored, scored
from tests.support.hub_by_hand import HubByHand, chunk

pytestmark = pytest.mark.system

FS = 360


class Recorded:
    """A hub by hand that records stream ``s`` of a signal; a new one after each death."""

    def __init__(
        self, folder: Path, x: NDArray[np.float32], log: str = "log", **facts: Any
    ) -> None:
        self.folder = folder / "recording"
        self.utc_s = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
        self._log = folder / log
        self._x = x
        self._facts = facts
        self.sent = 0
        self.begin()

    def begin(self, **config: Any) -> None:
        """Start a hub that continues, or begins."""
        self.recorder = Recorder(self.folder, utc=lambda: self.utc_s)
        self.one = HubByHand(self._log, recorder=self.recorder, **config)
        self.runs = True
        self.one.stop_clock()
        self.source, self.scorer = self.one.connect("ingest"), self.one.connect("work")

    def second(self, number: int | None = None, **facts: Any) -> None:
        """Send one more second, or one again, and have its beats scored."""
        self.sent += number is None
        number = number or self.sent
        of_second = self._x[..., FS * (number - 1) : FS * number]
        self.one.accepted(self.source, chunk(number, of_second, **{**self._facts, **facts}))
        self.one.later_s += 0.3
        scored(self.one, self.scorer)

    def finish(self) -> None:
        """End the stream, and the hub in order."""
        message = End(
            stream="s", next_sample=FS * self.sent, session="a", number=self.sent + 1,
        )  # fmt: skip
        self.one.accepted(self.source, message)
        all_scored(self.one, self.scorer)
        self.one.turns()
        self.closed()

    def closed(self) -> None:
        """End the hub in order."""
        self.one.closed()
        self.runs = False

    def killed(self) -> None:
        """Let the hub die as by kill -9."""
        self.one.killed()
        self.recorder._housekeeping.close(10.0)
        self.runs = False

    @property
    def headers(self) -> list[Path]:
        """The headers of all segments."""
        return sorted(self.folder.glob("*.hea"), key=lambda header: header.stem)


Record = Callable[..., Recorded]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """Return what starts a hub that records a signal into a folder of the test, and is killed."""
    started: list[Recorded] = []

    def start(x: NDArray[np.float32], **facts: Any) -> Recorded:
        started.append(Recorded(tmp_path, x, **facts))
        return started[-1]

    yield start
    for one in started:
        if one.runs:
            one.killed()


def played(headers: list[Path]) -> tuple[NDArray[np.float32], list[tuple[int, int, int]]]:
    """Return the samples of a recording, and epoch, first sample and length of each piece."""
    (of_stream,), others = recordings(headers)
    assert not others
    blocks = [b for b in RecordingSource(of_stream, speed=None).blocks() if b is not None]
    pieces = [(blocks[0].epoch, blocks[0].first_sample, 0)]
    for block in blocks:
        epoch, first, n = pieces[-1]
        if (epoch, first + n) == (block.epoch, block.first_sample):
            pieces[-1] = (epoch, first, n + block.n)
        else:
            pieces.append((block.epoch, block.first_sample, block.n))
    return np.concatenate([block.samples for block in blocks], axis=-1), pieces


def beats_of(header: Path) -> list[tuple[int, str, str]]:
    """Return the annotations of a segment."""
    found = read_annotations(header, "mon")
    return list(zip(found.sample.tolist(), found.symbol, found.aux_note, strict=True))


@pytest.fixture(scope="module")
def minute(demo: NDArray[np.float32]) -> NDArray[np.float32]:
    """A minute of the bundled record."""
    return demo[: 60 * FS]


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, minute: NDArray[np.float32]
) -> list[tuple[int, str, str]]:
    """The annotations of a recording of that minute by a hub that nothing happens to."""
    one = Recorded(tmp_path_factory.mktemp("undisturbed"), minute)
    for _ in range(60):
        one.second()
    one.finish()
    (header,) = one.headers
    return beats_of(header)


def test_every_sample_of_every_lead_comes_back_as_it_was(
    record: Record, minute: NDArray[np.float32]
) -> None:
    """Bit by bit, by any reader of WFDB, for a signal in whole microvolts; its beats are marked."""
    two = np.stack([minute, np.roll(minute, 50)])[:, : 20 * FS]
    one = record(two, leads=["II", "V1"], lead="II")
    for _ in range(20):
        one.second()
    one.finish()

    (header,) = one.headers
    info, samples = read_leads(header, [0, 1])
    assert info.leads == ("II", "V1")
    np.testing.assert_array_equal(samples, two)
    line = header.read_text().splitlines()[0]
    assert line.endswith(f"-20260301T120000Z 2 360 {20 * FS} 12:00:00.000 01/03/2026")
    marks = beats_of(header)
    assert [text for _, symbol, text in marks if symbol == "+"] == ["(N"]
    assert {symbol for _, symbol, _ in marks} <= {"+", "N", "S", "V", "F", "Q"}
    assert len(marks) > 20


def test_files_are_for_their_owner_alone_and_written_once_a_second(
    record: Record, minute: NDArray[np.float32]
) -> None:
    """Chunks of a fiftieth of a second do not become fifty writes."""
    one = record(minute)
    writes: list[int] = []
    original = files.append_samples
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            files, "append_samples",
            lambda *a: (writes.append(len(a[-1])), original(*a)),
        )  # fmt: skip
        for n in range(50 * 4):
            cut = minute[n * 7 : (n + 1) * 7]
            sent = chunk(n + 1, cut, first_sample=n * 7)
            one.one.accepted(one.source, sent)
            one.one.later_s += 0.02
        one.one.turns()
    modes = {
        path.name.partition(".")[2]: path.stat().st_mode & 0o777 for path in one.folder.iterdir()
    }

    assert len(writes) <= 4
    assert modes == dict.fromkeys(["dat", "hea", "mon", "quality"], 0o600)
    assert one.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("at", [1, 2, 13])
def test_a_hub_that_was_killed_is_continued_without_a_repeat_or_a_loss(
    record: Record, minute: NDArray[np.float32], undisturbed: list[tuple[int, str, str]], at: int
) -> None:
    """What lies there can be read; half a write is cut off; then all samples and beats are there.

    The source sends again what was not acknowledged, as ours do, and something more.
    """
    one = record(minute)
    for _ in range(at):
        one.second()
    one.killed()
    for header in one.headers:
        read = read_leads(header, [0])[1][0]
        np.testing.assert_array_equal(read, minute[: read.size])
        for suffix, torn in ((".dat", b"\1"), (".mon", b"\7\4\xff"), (".quality", b"\1\1\1")):
            with header.with_suffix(suffix).open("ab") as file:
                file.write(torn)
    one.begin()
    one.second(max(1, at - 1))
    one.second(at)
    while one.sent < 60:
        one.second()
    one.finish()

    samples, pieces = played(one.headers)
    np.testing.assert_array_equal(samples, minute)
    assert pieces == [(0, 0, minute.size)]
    (header,) = one.headers
    marks = beats_of(header)
    assert [m for m in marks if m[1] != "+"] == [m for m in undisturbed if m[1] != "+"]


class Died(BaseException):
    """A process is killed at this very call."""


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 7, 8, 10, 13, 17])
def test_no_moment_of_a_death_tears_a_recording(
    record: Record, minute: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Half a write is there: all samples come back once, and the gap is a gap."""
    calls = 0
    write, replace = os.pwrite, files.replace_file

    def dies() -> bool:
        nonlocal calls
        calls += threading.current_thread() is threading.main_thread()
        return calls == at and threading.current_thread() is threading.main_thread()

    def written(descriptor: int, data: Any, offset: int) -> int:
        if dies():
            write(descriptor, data[: len(data) // 2 + 1], offset)
            raise Died
        return write(descriptor, data, offset)

    def replaced(path: Path, body: bytes, mode: int) -> None:
        if dies():
            raise Died
        replace(path, body, mode)

    def begun(*segment: Any) -> None:
        if dies():
            raise Died
        begin(*segment)

    one = record(minute)
    begin = files.begin_header
    monkeypatch.setattr(files, "begin_header", begun)
    monkeypatch.setattr(os, "pwrite", written)
    monkeypatch.setattr(files, "replace_file", replaced)
    for number in range(1, 9):
        facts = {"first_sample": (number + 1) * FS} if number > 4 else {}
        try:
            one.second(number, **facts)
            one.one.later_s += 1
            one.one.turns()
        except Died:
            one.killed()
            one.begin()
            one.second(number, **facts)
    one.sent = 10
    one.closed()

    samples, pieces = played(one.headers)
    assert pieces == [(0, 0, 4 * FS), (0, 6 * FS, 4 * FS)]
    np.testing.assert_array_equal(samples, minute[: 8 * FS])


def test_a_folder_that_is_removed_is_made_again(
    record: Record, minute: NDArray[np.float32]
) -> None:
    """Another segment begins there; the samples before are gone with it."""
    one = record(minute)
    for _ in range(4):
        one.second()
    one.one.turns()
    shutil.rmtree(one.folder)
    for _ in range(4):
        one.second()
    one.one.later_s += 3
    for _ in range(4):
        one.second()
    assert one.recorder.fault == ""
    one.finish()

    samples, pieces = played(one.headers)
    assert len(pieces) == 1
    np.testing.assert_array_equal(samples, minute[pieces[0][1] : 12 * FS])
    assert pieces[0][1] <= 4 * FS


def test_two_hubs_may_record_into_one_folder(record: Record, minute: NDArray[np.float32]) -> None:
    """Each with its own log: neither ends what the other one still writes."""
    one = record(minute)
    one.second()
    one.one.turns()
    other = record(minute, log="other", stream="t")
    for _ in range(3):
        one.second()
        other.second()
    one.finish()
    other.closed()

    streams, _ = recordings(one.headers)
    assert len(streams) == 2
    for of_stream, n in zip(streams, (4, 3), strict=True):
        np.testing.assert_array_equal(played(of_stream)[0], minute[: n * FS])


def test_a_hub_that_ended_in_order_is_continued_in_the_same_segment(
    record: Record, minute: NDArray[np.float32]
) -> None:
    """Its header states a length meanwhile, and then a longer one."""
    one = record(minute)
    for _ in range(10):
        one.second()
    one.closed()
    (header,) = one.headers
    assert load_header(header).frames == 10 * FS
    one.begin()
    for _ in range(10):
        one.second()
    one.finish()

    assert one.headers == [header]
    np.testing.assert_array_equal(played([header])[0], minute[: 20 * FS])


def test_another_log_does_not_continue_a_segment(
    record: Record, tmp_path: Path, minute: NDArray[np.float32]
) -> None:
    """A stream of the same name, and the same positions, is another one; both are played."""
    first = record(minute)
    first.second()
    first.second()
    first.one.turns()
    first.killed()
    first._log = tmp_path / "another"
    first.sent = 0
    first.utc_s += 60
    first.begin()
    for _ in range(3):
        first.second()
    first.finish()

    assert len(first.headers) == 2
    samples, pieces = played(first.headers)
    assert [(epoch, at) for epoch, at, _ in pieces] == [(0, 0), (1, 0)]
    np.testing.assert_array_equal(samples[-3 * FS :], minute[: 3 * FS])


def test_gaps_are_gaps_again(record: Record, minute: NDArray[np.float32]) -> None:
    """A short one is in the segment, behind a long one begins another; neither is a signal."""
    one = record(minute)
    one.second()
    one.sent += 3
    for n in (2, 3):
        one.one.accepted(one.source, chunk(n, minute[:FS], first_sample=(n + 2) * FS))
    for n in (4, 5):
        one.one.accepted(one.source, chunk(n, minute[:FS], first_sample=(n + 20) * FS))
    one.one.later_s += 2
    one.one.turns()
    one.closed()

    _, pieces = played(one.headers)
    assert pieces == [(0, 0, FS), (0, 4 * FS, 2 * FS), (0, 24 * FS, 2 * FS)]
    short, long = one.headers
    assert load_header(short).frames == 6 * FS
    assert np.isnan(read_leads(short, [0])[1][0, FS : 4 * FS]).all()
    assert load_header(long).frames == 2 * FS


def test_unknown_samples_and_flags_come_back(record: Record, minute: NDArray[np.float32]) -> None:
    """Where a value is unknown, an electrode off, a lead at its rail, playing says so again."""
    x = np.stack([minute, minute])[:, : 4 * FS].copy()
    x[0, 100:130] = np.nan
    flags = np.zeros(x.shape, dtype=np.uint8)
    flags[1, 200:500] = FLAG_LEAD_OFF
    flags[0, 400:900] = FLAG_SATURATED
    flags[1, 450:460] |= FLAG_SATURATED
    one = record(x, leads=["I", "II"], lead="I")
    for n in range(4):
        one.second(flags=flags[:, n * FS : (n + 1) * FS])
    one.finish()

    (paths,), _ = recordings(one.headers)
    blocks = [b for b in RecordingSource(paths, speed=None).blocks() if b is not None]
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    np.testing.assert_array_equal(samples, x)
    none = np.zeros_like(flags)
    read = [none[:, : b.n] if b.flags is None else b.flags for b in blocks]
    np.testing.assert_array_equal(np.concatenate(read, axis=1), flags)


def test_a_segment_ends_with_the_day_the_epoch_and_the_range(
    record: Record, minute: NDArray[np.float32]
) -> None:
    """Each begins the next one; no sample is lost or twice between them."""
    x = minute[: 12 * FS].copy()
    x[6 * FS : 9 * FS] += 200.0
    one = record(x)
    for _ in range(3):
        one.second()
        one.one.later_s += 1
    one.one.turns()
    one.utc_s += 12 * 3600
    for _ in range(3):
        one.second()
        one.one.later_s += 1
    one.one.turns()
    for _ in range(3):
        one.second()
        one.one.later_s += 1
    one.second(epoch=1, first_sample=0)
    one.one.later_s += 2
    one.one.turns()
    one.closed()

    segments = [found[0] for header in one.headers if (found := read_segment(header))]
    segments.sort(key=lambda segment: segment.place)
    assert [(s.epoch, s.first_sample, s.gains) for s in segments] == [
        (0, 0, (1000.0,)), (0, 3 * FS, (1000.0,)), (0, 6 * FS, (100.0,)), (1, 0, (1000.0,))
    ]  # fmt: skip
    assert [s.day for s in segments] == ["2026-03-01"] + 3 * ["2026-03-02"]
    samples, pieces = played(one.headers)
    assert pieces == [(0, 0, 9 * FS), (1, 0, FS)]
    np.testing.assert_allclose(samples[: 9 * FS], x[: 9 * FS], atol=0.0051)


def test_a_folder_that_cannot_be_written_stops_the_recording_and_nothing_else(
    record: Record, tmp_path: Path, minute: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, report and a metric say so; once it can be written, what waited is written."""
    one = record(minute)
    one.second()
    one.one.turns()
    there = one.folder.rename(tmp_path / "away")
    one.folder.write_text("no folder")
    for _ in range(12):
        one.second()

    state = State()
    reply = decode_control_reply(one.one.ask(one.one.connect("control"), encode_json(state)))
    assert reply.system is not None
    assert reply.system.recording is not None
    fault = reply.system.recording.fault
    assert fault == f"recording into {one.folder} stopped: Not a directory"
    assert reply.statuses[0].fault == fault
    assert fault in troubles(reply.system, reply.statuses)
    metrics = {m.name: m.samples[0].value for m in metrics_of(reply.system)}
    assert metrics["ecg_monitor_recording_writable"] == 0
    one.folder.unlink()
    there.rename(one.folder)
    one.one.later_s += 3
    one.second()
    assert one.recorder.fault == ""
    one.finish()
    np.testing.assert_array_equal(played(one.headers)[0], minute[: one.sent * FS])


def test_what_waits_for_a_full_disk_is_bounded_and_its_loss_is_a_gap(
    record: Record, minute: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that ends half way is written over; the samples that were dropped are counted."""
    one = record(minute)
    for _ in range(4):
        one.second()
    one.one.turns()
    full = pytest.MonkeyPatch()
    original, most = os.pwrite, recorder.MOST_WAITING_BYTES
    monkeypatch.setattr(recorder, "MOST_WAITING_BYTES", 5 * 4 * FS)
    monkeypatch.setattr(recorder, "MORE_WAITING_BYTES", 0)

    def half(descriptor: int, data: Any, offset: int) -> int:
        if len(data) > 300:
            return original(descriptor, data[:301], offset)
        raise OSError(28, "No space left on device")

    full.setattr(os, "pwrite", half)
    for _ in range(20):
        one.second()
    assert one.recorder.report().fault.endswith("No space left on device")
    lost = one.recorder.report().lost_samples
    assert lost >= 10 * FS
    full.undo()
    monkeypatch.setattr(recorder, "MOST_WAITING_BYTES", most)
    one.one.later_s += 3
    for _ in range(4):
        one.second()
    one.finish()

    samples, pieces = played(one.headers)
    assert samples.size == minute[: one.sent * FS].size - lost
    for _, first, n in pieces:
        np.testing.assert_array_equal(samples[:n], minute[first : first + n])
        samples = samples[n:]


def test_a_source_that_makes_up_positions_does_not_fill_the_folder(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty epochs at once are as many segments as may begin at once; the rest is counted."""
    monkeypatch.setattr(track, "SEGMENTS_AT_ONCE", 20)
    one = record(np.zeros(FS, np.float32))
    for n in range(50):
        sent = chunk(n + 1, np.zeros(10, np.float32), epoch=n, first_sample=0)
        one.one.accepted(one.source, sent)
    one.one.later_s += 2
    one.one.turns()

    assert len(one.headers) == 20
    assert one.recorder.report().lost_samples == 10 * 30


def test_names_of_streams_are_safe_names_of_files(record: Record, tmp_path: Path) -> None:
    """No folder is left, none is hidden, and two names that look alike stay apart."""
    names = ["..", ".a", "a.b", "a_b", "a" * 64, "a" * 63 + "b", "CON", "-x"]
    one = record(np.zeros(FS, np.float32))
    for name in names:
        source: Dealer = one.one.connect("ingest")
        one.one.accepted(source, Chunk(stream=name, first_sample=0, fs_hz=360.0, number=1,
                                       session="a", samples=np.zeros(FS, "<f4")))  # fmt: skip
    one.one.later_s += 2
    one.one.turns()
    one.closed()

    assert len(one.headers) == len(names)
    assert {found[0].stream for h in one.headers if (found := read_segment(h))} == set(names)
    assert all(load_header(header).frames == FS for header in one.headers)
    assert {path.parent for path in tmp_path.rglob("*.dat")} == {one.folder}


def test_old_segments_are_removed_by_age_and_size_but_none_in_use(
    record: Record, minute: NDArray[np.float32]
) -> None:
    """The oldest go first, and only files that are those of segments."""
    one = record(minute)
    one.second()
    one.one.turns()
    (current,) = one.headers
    for age_d in range(10):
        stem = f"s-2026010{age_d}T000000Z"
        for suffix, size in ((".dat", 1000), (".hea", 0), (".mon", 0), (".quality", 0)):
            (one.folder / (stem + suffix)).write_bytes(bytes(size))
            at = one.utc_s - (10 - age_d) * 86_400
            os.utime(one.folder / (stem + suffix), (at, at))
    (one.folder / "notes.dat").write_text("mine")
    apply(one.folder, parse_keep("5d"), {current.stem}, one.utc_s + 1)
    assert len(list(one.folder.glob("s-202601*.hea"))) == 4
    apply(one.folder, parse_keep("1MB"), {current.stem}, one.utc_s + 1)
    assert len(list(one.folder.glob("s-202601*.hea"))) == 4
    apply(one.folder, parse_keep("0.002MB,100d"), {current.stem}, one.utc_s + 1)
    left = sorted(path.name for path in one.folder.glob("*.dat"))

    assert current.with_suffix(".dat").name in left
    assert "notes.dat" in left
    assert len(left) <= 4


def test_a_header_says_nothing_but_what_a_reader_needs(
    record: Record, minute: NDArray[np.float32]
) -> None:
    """The facts of the stream are JSON in one comment; other readers skip it."""
    one = record(minute)
    one.second()
    one.finish()
    (header,) = one.headers

    comment = header.read_text().splitlines()[-1].removeprefix("# ecg-monitor facts ")
    assert sorted(json.loads(comment)) == [
        "began", "epoch", "first_sample", "leads", "log_id", "stream",
    ]  # fmt: skip
