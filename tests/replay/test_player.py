"""Sources on their way to the hub: under which names their streams are sent."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.cli import app as cli
from pipeline.clients.ingest import IngestClient
from pipeline.errors import InputError
from pipeline.log.store import AlertLog
from pipeline.schema.messages import Accepted, Chunk, End, Hello, Refused, decode_entry
from pipeline.schema.public import Status
from pipeline.signal.samples import SampleBlock, in_blocks
from pipeline.transport.pseudonyms import Pseudonyms
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.headers import DEMO_RECORD
from replay.player import _steps, play, stream_infos
from replay.records import RecordSource
from replay.source import SourceInfo, SourceReport
from tests.support.hub_by_hand import HubByHand, hub_by_hand
from tests.support.running import (
    receive_until_ended,
    running_hub,
    running_worker,
    subscriber,
    thread,
    until,
)

SAMPLES = 20 * 360
BASELINE = (1024).to_bytes(2, "little")
KEY = Pseudonyms(bytes(range(32)))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Return a record whose file and folder are named after a person: ten seconds, and a stop."""
    folder = tmp_path / "ward-anna-k"
    folder.mkdir()
    beats = DEMO_RECORD.with_suffix(".dat").read_bytes()[:SAMPLES]
    (folder / "kowalska.dat").write_bytes(beats + BASELINE * (SAMPLES // 2))
    header = folder / "kowalska.hea"
    header.write_text(
        f"kowalska 1 360 {SAMPLES}\nkowalska.dat 16 200 11 1024 0 0 0 MLII\n", encoding="ascii"
    )
    return header


def source(header: Path) -> RecordSource:
    """Return a source of the first lead, as fast as the hub takes it."""
    return RecordSource(header, lead=0, speed=None)


class Recorder:
    """A device that says what is wrong with it, in words that name a person."""

    info = SourceInfo(stream="annas-bed", fs_hz=250.0, leads=("II",))

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield a moment of signal."""
        yield SampleBlock(0, np.zeros(250, dtype=np.float32))

    def report(self) -> SourceReport:
        """Return a fault."""
        return SourceReport(1, "its lines cannot be read, such as 'Anna K.': check baud=9600")

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def test_streams_of_one_name_stay_apart_under_pseudonyms(record: Path) -> None:
    """A pseudonym is that of the unique name, so its owner can look it up."""
    sources = [source(record), source(record)]

    plain = [info.stream for info in stream_infos(sources)]
    hidden = [info.stream for info in stream_infos(sources, KEY)]

    assert plain == ["kowalska", "kowalska-2"]
    assert hidden == [KEY.of(name) for name in plain]


def test_leads_of_a_device_reach_the_log_side_by_side(tmp_path: Path) -> None:
    """All samples of all leads under their names, and a status that has these."""
    leads = ("I", "II", "V1")
    log = tmp_path / "alerts.sqlite"
    patient = Patient(leads)
    with hub_by_hand(log) as one:
        over = threading.Event()
        with thread(
            lambda stop: play(
                [patient], one.hub.endpoints["ingest"], lambda: stop() or over.is_set()
            )
        ):
            until(lambda: bool(one.turns(1) or _sample_of(one) == patient.samples.shape[1]))
            over.set()
        [status] = one.hub._state()[1]
        entries = [decode_entry(data).event for _, data in one.hub._log.entries()]

    assert (status.lead, status.leads, status.rejected_frames) == ("I", list(leads), 0)
    chunks = [event for event in entries if isinstance(event, Chunk)]
    assert {tuple(chunk.leads) for chunk in chunks} == {leads}
    samples = np.concatenate([chunk.samples for chunk in chunks], axis=1)
    np.testing.assert_array_equal(samples, patient.samples)


def _sample_of(one: HubByHand) -> int:
    """Return how many samples the hub has taken."""
    return max((status.sample for status in one.hub._state()[1]), default=0)


class Patient:
    """Five seconds of a synthetic patient, in blocks of a second."""

    def __init__(self, leads: tuple[str, ...]) -> None:
        self.info = SourceInfo(stream="bed", fs_hz=360.0, leads=leads, total_samples=5 * 360)
        self.samples = SyntheticPatient(PatientConfig(leads=leads)).generate(5 * 360).samples

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield the seconds."""
        yield from in_blocks(self.samples, 360)

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Failing(Patient):
    """A record whose second half cannot be read."""

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield two seconds."""
        yield from in_blocks(self.samples[:720], 360)
        raise InputError("unreadable from 2 s on")


@pytest.mark.parametrize("paced", [False, True])
def test_records_that_share_a_connection_end_one_by_one(tmp_path: Path, paced: bool) -> None:
    """One that fails ends alone, with what it sent; the failure is raised after all others."""
    sources = [Patient(("II",)), Failing(("II",)), Patient(("I", "II"))]
    names = [info.stream for info in stream_infos(sources)]
    with (
        running_hub(tmp_path / "log") as hub,
        running_worker(hub),
        subscriber(hub, topics=("status/",)) as ear,
    ):
        with pytest.raises(InputError, match="from 2 s on"):
            play(sources, hub.endpoints["ingest"], lambda: False, paced=paced)
        received = receive_until_ended(ear, *names)
        again = [Patient(("II",))]
        play(again, hub.endpoints["ingest"], lambda: False, paced=paced, resume=True)
    ended = {m.stream: m.sample for m in received if isinstance(m, Status) and m.ended}
    assert ended == {names[0]: 1800, names[1]: 720, names[2]: 1800}


def test_with_pseudonyms_no_name_reaches_the_wire_or_the_log(record: Path, tmp_path: Path) -> None:
    """Neither of record, folder or device, in any message or file of the hub."""
    hidden = {KEY.of("kowalska"), KEY.of("annas-bed")}
    log = tmp_path / "log" / "alerts.sqlite"
    with running_hub(log) as hub, running_worker(hub):
        with subscriber(hub, topics=("status/", "beat/", "signal/", "window/", "system")) as ear:
            sources = [source(record), Recorder()]
            play(sources, hub.endpoints["ingest"], lambda: False, pseudonyms=KEY)
            received = receive_until_ended(ear, *hidden)
        open_files = b"".join(file.read_bytes() for file in log.parent.iterdir())
    files = b"".join(file.read_bytes() for file in log.parent.iterdir())

    statuses = [message for message in received if isinstance(message, Status)]
    assert {status.stream for status in statuses} == hidden
    assert "its lines cannot be read, such as '…': check baud=9600" in {
        status.source_fault for status in statuses
    }
    with AlertLog(log) as kept:
        assert {alert.stream for alert in kept.read(1, 10_000)} == {KEY.of("kowalska")}
        assert set(kept.snapshots()) == hidden
    for name in ("kowalska", "anna"):
        assert name not in repr(received).lower()
        assert name.encode() not in (files + open_files).lower()


def test_scan_prints_pseudonyms_only(
    record: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On stdout and in the names of annotation files, which go to others."""
    key = tmp_path / "key"
    hidden = Pseudonyms.create(key).of("kowalska")
    arguments = ["scan", str(record), "--json", "--annotations", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["monitor", *arguments, "--pseudonyms", str(key)])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    printed = capsys.readouterr().out

    assert json.loads(printed.splitlines()[-1])["streams"] == [hidden]
    assert "kowalska" not in printed
    assert {file.name for file in tmp_path.glob("*.mon")} == {f"{hidden}.mon"}


@pytest.mark.parametrize("command", ["replay", "live", "scan", "source"])
def test_a_key_that_others_can_read_is_refused_before_anything_starts(
    command: str,
    record: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2 and one line, and no log is begun."""
    key, log = tmp_path / "key", tmp_path / "log.sqlite"
    Pseudonyms.create(key)
    key.chmod(0o644)
    further = {
        "replay": [str(record), "--log", str(log)],
        "live": ["--device", "synthetic:", "--log", str(log)],
        "scan": [str(record)],
        "source": [str(record), "--ingest", "tcp://127.0.0.1:1"],
    }
    monkeypatch.setattr(
        sys, "argv", ["monitor", command, *further[command], "--pseudonyms", str(key)]
    )
    with pytest.raises(SystemExit, match="2"):
        cli.main()

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].endswith(f"chmod 600 {key}")
    assert not log.exists()


class AnsweringLine:
    """A connection to a hub that takes everything, and says so when it is asked to."""

    def __init__(self) -> None:
        self.sent: list[Chunk | End] = []
        self._answers: list[Accepted] = []
        self._unanswered: list[Hello | Chunk | End] = []

    def answer(self) -> None:
        """Acknowledge what was sent."""
        for one in self._unanswered:
            hello = isinstance(one, Hello)
            number = 0 if isinstance(one, Hello) else one.number
            self._answers.append(
                Accepted(
                    stream=one.stream, epoch=0, next_sample=0, credit=8, number=number,
                    session=one.session, written=number, known=not hello,
                )
            )  # fmt: skip
        self._unanswered.clear()

    def send(self, message: Hello | Chunk | End) -> bool:
        """Take a message."""
        self._unanswered.append(message)
        if not isinstance(message, Hello):
            self.sent.append(message)
        return True

    def answers(self) -> Iterator[Accepted | Refused]:
        """Yield the answers since the last call."""
        while self._answers:
            yield self._answers.pop(0)

    def wait(self, timeout_s: float) -> None:
        """Do nothing."""

    def renew(self) -> bool:
        """Do nothing."""
        return False

    def close(self) -> None:
        """Do nothing."""


class Pipe(Recorder):
    """A device whose minute of signal is there at once."""

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield it, 20 ms at a time."""
        yield from in_blocks(np.zeros(60 * 250, dtype=np.float32), 5)

    def report(self) -> SourceReport | None:  # type: ignore[override]
        """Return nothing."""
        return None


def test_a_device_that_sends_fast_loses_nothing_where_the_hub_keeps_up() -> None:
    """It waits for the answers of the hub, as where a file is piped into standard input."""
    line, device = AnsweringLine(), Pipe()
    client = IngestClient(
        "", stream="bed", fs_hz=250.0, lead="II", stop=lambda: False, live=True, line=line
    )
    for _ in _steps(client, device, device.info, "", paced=True, quotations=True):
        line.answer()
    assert client.shed_samples == 0
    assert sum(one.n for one in line.sent if isinstance(one, Chunk)) == 60 * 250
    assert isinstance(line.sent[-1], End)
