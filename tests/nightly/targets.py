"""What reads bytes of others, with bytes that it accepts: each seed is changed, and read again."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.inputs import load_alarm_settings
from pipeline.clients.cursor import Position, load_position, store_position
from pipeline.constants import CLASSES, WINDOW_SAMPLES
from pipeline.errors import LogError
from pipeline.log.reader import LogReader
from pipeline.log.store import AlertLog, Commit
from pipeline.log.verify import verify
from pipeline.schema.messages import (
    Chunk,
    End,
    Entry,
    Hello,
    Ready,
    ScoreReply,
    decode,
    decode_entry,
    encode,
    encode_entry,
)
from pipeline.schema.public import encode_json
from pipeline.schema.requests import (
    Acknowledge,
    Died,
    ReplayRequest,
    Silence,
    decode_control_request,
    decode_replay_request,
)
from pipeline.transport.access_list import load_access_list
from replay.annotations import note_bytes, read_annotations, read_beats
from replay.devices.lines.line_positions import PositionTracker
from replay.devices.lines.serial_lines import LineReader
from replay.headers import DEMO_RECORD
from replay.records import read_lead
from tests.replay.files import test_hostile_files
from tests.replay.test_hostile_records import HEADERS, PIECES, read_or_refused
from tests.support.keys import KeyRing
from tests.support.logs import alert, filled_log, seen

Read = Callable[[bytes], bool]
"""Reads bytes; false, or one of our errors, where it refuses them."""

Change = Callable[[bytes, random.Random], bytes]

PAGE: Final = 4_096


class UndetectedError(Exception):
    """Damage that a check calls intact, and that changes what is read."""


@dataclass(frozen=True)
class Target:
    """One kind of bytes."""

    seeds: Sequence[tuple[bytes, Read]]
    change: Change | None = None
    """How a seed is changed; None for any way."""


def messages(folder: Path, chance: random.Random) -> Target:
    """Return the frames of the wire and the entries of the journal."""
    ids = [("s", 0, 360), ("s", 0, 720)]
    of_processes = [
        Hello(stream="s", session="a1"),
        Chunk(stream="s", first_sample=0, fs_hz=360.0, samples=np.ones(90, "<f4"), number=1,
              flags=np.ones(90, np.uint8), session="a1", lead="II", stamp_s=1e9),
        End(stream="s", next_sample=90, session="a1", number=2),
        Chunk(stream="s", first_sample=0, fs_hz=360.0, samples=np.ones((3, 30), "<f4"), number=1,
              flags=np.ones((3, 30), np.uint8), lead="I", leads=["I", "II", "V1"]),
        Ready(model="m", device="cpu"),
        ScoreReply(ids=ids, scores=np.ones(2, "<f4"), compute_ms=0.1,
                   residuals=np.zeros((2, WINDOW_SAMPLES), "<f4"),
                   probabilities=np.full((2, len(CLASSES)), 1 / len(CLASSES), "<f4")),
    ]  # fmt: skip
    requests = [Acknowledge(stream="s"), Silence(seconds=3.0), Died(process="hub", code=1, times=1)]
    question = encode_json(ReplayRequest(from_seq=7, link="ab" * 8))
    return Target(
        [
            *((encode(one), _read_by(decode)) for one in of_processes),
            *((encode_entry(Entry(1.0, one)), _read_by(decode_entry)) for one in of_processes[1:4]),
            *((encode_json(one), _read_by(decode_control_request)) for one in requests),
            (question, _read_by(decode_replay_request)),
        ]
    )


def _read_by(decoder: Callable[[bytes], Any]) -> Read:
    return lambda data: decoder(data) is not None


def keys(folder: Path, chance: random.Random) -> Target:
    """Return the files of a store of keys: a secret key, a public one, the access list."""
    ring = KeyRing(folder)
    for name, rights in (("bed", {"streams": ("bed*",)}), ("nurse", {"control": True})):
        ring.allowed_key(name, **rights)
    readers: dict[str, Callable[[], Any]] = {
        "bed.secret": lambda: ring.store.pair("bed"),
        "bed.public": lambda: ring.store.public("bed"),
        "allowed": lambda: load_access_list(ring.store),
    }
    return Target(
        [
            (
                (ring.store.folder / name).read_bytes(),
                partial(_through, ring.store.folder / name, r),
            )
            for name, r in readers.items()
        ]
    )


def _through(path: Path, read: Callable[[], Any], data: bytes) -> bool:
    path.write_bytes(data)
    return read() is not None


def pages(folder: Path, chance: random.Random) -> Target:
    """Return a log, each page of which in turn gets a flipped bit."""
    path = folder / "log"
    filled_log(path, alerts=24)
    whole, before = path.read_bytes(), seen(path)
    turn = iter(range(10**12))

    def flip(data: bytes, chance: random.Random) -> bytes:
        at = next(turn) % (len(data) // PAGE) * PAGE + chance.randrange(PAGE)
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]

    def read(data: bytes) -> bool:
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        path.write_bytes(data)
        if not verify(path).intact:
            return False
        try:
            same = seen(path) == before
        except LogError as error:
            raise UndetectedError(f"intact, and yet {error}") from None
        if not same:
            raise UndetectedError("a log is intact, and reads otherwise than before")
        return True

    return Target([(whole, read)], flip)


def write_ahead(folder: Path, chance: random.Random) -> Target:
    """Return the write-ahead log of a hub that was killed: what is left of it is a prefix."""
    path = folder / "log"
    with AlertLog(path) as log:
        for n in range(1, 25):
            log.commit(Commit(alerts=[alert(n)], entries=[b"%d" % n], snapshots={}))
        main = path.read_bytes()
        wal = path.with_name("log-wal").read_bytes()
    copy = folder / "copy"

    def read(data: bytes) -> bool:
        copy.with_name("copy-shm").unlink(missing_ok=True)
        copy.write_bytes(main)
        copy.with_name("copy-wal").write_bytes(data)
        if not verify(copy).intact:
            return False
        with LogReader(copy) as reader:
            samples = [one.sample for one in reader.read(1, 100)]
        if samples != list(range(1, len(samples) + 1)):
            raise UndetectedError(f"the write-ahead log reads as {samples}")
        return len(samples) == 24

    return Target([(wal, read)])


def headers(folder: Path, chance: random.Random) -> Target:
    """Return headers of records; the signal is zeros."""
    for name in ("r.dat", "q.dat"):
        (folder / name).write_bytes(bytes(3_000))

    def change(data: bytes, chance: random.Random) -> bytes:
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data) + 1)
            data = data[:at] + chance.choice(PIECES) + data[at + chance.randrange(13) :]
        return data

    read = partial(_through, folder / "r.hea", lambda: read_or_refused(folder / "r.hea") or None)
    return Target([(header, read) for header in HEADERS if read(header)], change)


def files(folder: Path, chance: random.Random) -> Target:
    """Return EDF, BDF, CSV, TSV and .npy files."""

    def read(name: str, data: bytes) -> bool:
        (folder / name).write_bytes(data)
        stated = test_hostile_files.stated_of(name)
        return test_hostile_files.read_or_refused(folder / name, stated)

    return Target([(data, partial(read, name)) for name, data in test_hostile_files.SEEDS])


def compressed_signals(folder: Path, chance: random.Random) -> Target:
    """Return the FLAC file of a record, as wfdb writes it."""
    read_lead(DEMO_RECORD)  # imports wfdb, past the warnings of its import
    import wfdb

    values = np.random.default_rng(3).integers(-90, 90, (3_000, 2)).cumsum(axis=0)
    wfdb.wrsamp(
        "r", 360, ["mV", "mV"], ["II", "V1"], d_signal=values, fmt=["516", "516"],
        adc_gain=[200.0, 200.0], baseline=[0, 0], write_dir=str(folder),
    )  # fmt: skip
    read = partial(_through, folder / "r.dat", lambda: read_or_refused(folder / "r") or None)
    return Target([((folder / "r.dat").read_bytes(), read)])


def annotations(folder: Path, chance: random.Random) -> Target:
    """Return annotation files: beats, and notes with a long interval between them."""
    (folder / "r.hea").write_text("r 1 360 650000\nr.dat 16 200 16 0 0 0 0 II\n")
    (folder / "r.dat").write_bytes(bytes(1_300_000))
    beats = b"".join((1 << 10 | 290 + n).to_bytes(2, "little") for n in range(40)) + bytes(2)

    def read() -> bool:
        return read_annotations(folder / "r", "atr") is not None and read_beats(folder / "r") != ()

    through = partial(_through, folder / "r.atr", read)
    return Target([(beats, through), (note_bytes([(5, "(N"), (90_000, "(AFIB")]), through)])


def settings(folder: Path, chance: random.Random) -> Target:
    """Return files of alarm settings."""
    path = folder / "alarms.toml"
    text = (
        b'asystole_s = 5\nheart_rate_high_bpm = 130\noff = ["couplet"]\nlatching = ["asystole"]\n'
    )
    return Target([(text, partial(_through, path, lambda: load_alarm_settings(path)))])


def positions(folder: Path, chance: random.Random) -> Target:
    """Return files with the position of a subscriber."""
    path = folder / "position"
    store_position(path, Position("a" * 32, 90, "b" * 16))
    return Target([(path.read_bytes(), partial(_through, path, lambda: load_position(path)))])


def serial_lines(folder: Path, chance: random.Random) -> Target:
    """Return lines of a device, with and without numbers; positions ascend, whatever they say."""

    def read(data: bytes) -> bool:
        lines, tracker = LineReader(), PositionTracker(250.0)
        placed, at = [], 0
        while at < len(data):
            size = chance.randrange(1, 200)
            for one in lines.push(data[at : at + size]):
                placed += [position for position, _ in tracker.track(one, at / 2_000)]
            at += size
        if any(b <= a for a, b in pairwise(placed)):
            raise UndetectedError("the positions of a device do not ascend")
        return not lines.rejected and not tracker.implausible

    numbered = b"".join(b"%d,%d\n" % (n % 65_536, 512 + n % 90) for n in range(65_480, 65_680))
    plain = b"".join(b"%d\n" % (512 + n % 90) for n in range(200)) + b"!\n" * 5
    flags = b"".join(b"%d,%d,%d\n" % (n, 500, n % 2) for n in range(200))
    return Target([(numbered, read), (plain, read), (flags, read)])


TARGETS: Final[dict[str, Callable[[Path, random.Random], Target]]] = {
    "messages": messages,
    "keys, access lists": keys,
    "pages of a log": pages,
    "write-ahead logs": write_ahead,
    "headers of records": headers,
    "other files": files,
    "FLAC signals": compressed_signals,
    "annotations": annotations,
    "alarm settings": settings,
    "positions": positions,
    "serial lines": serial_lines,
}
