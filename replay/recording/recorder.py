"""``--record DIR``: every lead of every stream of a hub, on disk as it comes.

`Recorder` satisfies `pipeline.hub.recording.StreamRecorder`. Each stream is written about once a
second, at a time of its own, and before the hub saves its state: what a hub that was killed does
not find in its log any more is in the recording. A folder that cannot be written stops the
recording, never the monitor: samples wait, up to `MOST_WAITING_BYTES`, and then are lost and
counted; `fault` says why, and recording goes on as soon as it can.

Not thread-safe: runs in the hub's loop, but for `Housekeeping`.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError, MonitorError
from pipeline.schema.messages import Chunk, End, Event, Forgotten, Opened
from pipeline.schema.public import Alert, RecordingReport
from pipeline.scoring.beat import Beat
from pipeline.signal.samples import SampleBlock
from pipeline.stream.outcome import Outcome
from pipeline.stream.session import StreamSession
from replay.recording import files
from replay.recording.housekeeping import Housekeeping
from replay.recording.retention import KEEP_ALL, Keep
from replay.recording.rhythms import CHANGE, NORMAL, RHYTHMS, Rhythm, changed_at
from replay.recording.segment import EDF, SAMPLES, Segment
from replay.recording.track import Track

logger = logging.getLogger(__name__)

WRITE_S: Final = 1.0
"""How often a stream is written."""

MOST_AT_ONCE: Final = 1 << 20
"""Bytes of a stream with which it is written at once: a record is replayed at full speed."""

MOST_WAITING_BYTES: Final = 32 << 20
"""Bytes that wait of all streams, at most, while the folder cannot be written."""

MORE_WAITING_BYTES: Final = 64 << 10
"""Bytes that may wait of each stream besides."""

_WRITES_A_TURN: Final = 8
_TURNS: Final = 25
"""Turns of the hub's loop within `WRITE_S`, at least."""

_MOST_ENDING: Final = 1_000
_RETRY_S: Final = 2.0
_LEFT_S: Final = 3600.0
"""A segment of another log that was not written to for this long belongs to a hub that died."""

_CLOSE_S: Final = 3.0
_LOOK_S: Final = 60.0
"""The folder is held within its limits this often."""


def check_folder(folder: Path) -> None:
    """Make sure that a recording can begin in ``folder``, which is created where it is not there.

    Raises:
        ConfigError: it cannot.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.try_to_write(folder)
    except OSError as error:
        raise ConfigError(
            f"cannot record into {folder}: {error.strerror}; name another folder with --record"
        ) from None


class Recorder:
    """Records all streams of a hub into a folder."""

    def __init__(
        self,
        folder: Path,
        keep: Keep = KEEP_ALL,
        *,
        utc: Callable[[], float] = time.time,
        write_edf: Callable[[Path], None] | None = None,
    ) -> None:
        """Begin; ``write_edf`` is given, in a thread, the header of each ended segment."""
        self.fault = ""
        """Why nothing is recorded now; empty while it is."""
        self._folder = folder
        self._utc = utc
        self._housekeeping = Housekeeping(folder, keep, write_edf)
        self._log_id = ""
        self._tracks: OrderedDict[str, Track] = OrderedDict()
        """By stream; the one that was written longest ago first."""
        self._full: set[str] = set()
        """Those of them of which much waits."""
        self._ending: list[Track] = []
        """Of streams that are over, or have begun again."""
        self._rhythms: dict[str, Rhythm] = {}
        self._earlier: dict[str, Segment] = {}
        """The newest segment of this log by stream, for streams that continue."""
        self._unfinished: list[Segment] = []
        """What hubs left that were killed."""
        self._restoring = True
        self._now = self._retry_at = self._look_at = float("-inf")
        self._waiting = 0
        """Bytes of samples."""
        self._lost = 0

    # --- the beginning -------------------------------------------------------------------------

    def begin(self, log_id: str) -> None:
        """Find what earlier hubs have recorded; ``log_id`` is that of this hub's log."""
        self._log_id = log_id
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = sorted(files.segments_in(self._folder), key=lambda one: one.segment.place)
        except OSError as error:
            self._failed(error)
            return
        of_log = [one.segment for one in found if one.segment.log_id == log_id]
        self._earlier = {segment.stream: segment for segment in of_log}
        self._unfinished = [segment for segment, ended in found if not ended]
        for segment, ended in found:
            if ended and not files.path_of(self._folder, segment, EDF).exists():
                self._housekeeping.write_edf(segment)

    def restored(self, sessions: Mapping[str, StreamSession]) -> None:
        """Go on with the streams that the hub continues; end what else was left unfinished."""
        self._restoring = False
        for name in [name for name in self._tracks if name not in sessions]:
            self._end(name)
        for name, session in sessions.items():
            if session.ended:
                self._end(name)
                continue
            track, rhythm = self._track(name, session), Rhythm()
            for alarm in session.stream.alarms:
                rhythm.take(alarm)
            self._rhythms[name] = rhythm
            if track.rhythm:  # what became known while no hub ran
                self._change(track, session.stream.epoch, session.stream.next_sample, rhythm.name)
        in_use = self._in_use()
        for segment in self._unfinished:
            if segment.name not in in_use and self._is_left(segment):
                self._housekeeping.end(segment)
        self._unfinished.clear()
        self._earlier.clear()

    def _is_left(self, segment: Segment) -> bool:
        """Return whether nobody writes a segment: perhaps another hub records here, too."""
        if segment.log_id == self._log_id:
            return True
        try:
            written_s = files.path_of(self._folder, segment, SAMPLES).stat().st_mtime
        except OSError:
            return False
        return self._utc() - written_s > _LEFT_S

    # --- in ------------------------------------------------------------------------------------

    def take(self, event: Event, outcome: Outcome, sessions: Mapping[str, StreamSession]) -> None:
        """Take in what followed from an event of the hub."""
        if isinstance(event, Opened | Forgotten):
            self._end(event.stream)
            self._earlier.pop(event.stream, None)
        for block in outcome.blocks:
            self._take_block(self._track_of(event, sessions), block)
        for report in outcome.reports:
            name = report.beat.id[0]
            if name in sessions:
                self._take_beat(self._track(name, sessions[name]), report.beat)
        if not self._restoring:  # `restored` knows what is present then
            for pending in outcome.alerts:
                if pending.alert.kind in RHYTHMS and pending.alert.stream in self._tracks:
                    self._take_alert(pending.alert)
        if outcome.ended:
            for name in [name for name, one in sessions.items() if one.ended]:
                self._end(name)

    def _track_of(self, event: Event, sessions: Mapping[str, StreamSession]) -> Track:
        assert isinstance(event, Chunk | End)  # no other event brings samples
        return self._track(event.stream, sessions[event.stream])

    def _track(self, name: str, session: StreamSession) -> Track:
        """Return the track of a stream, which begins here where there is none."""
        track = self._tracks.get(name)
        if track is None:
            stream = session.stream
            track = self._tracks[name] = Track(
                self._folder, name, stream.fs_hz, stream.leads, self._log_id, self._utc,
                self._housekeeping,
            )  # fmt: skip
            track.written_at = self._now
            if (earlier := self._earlier.pop(name, None)) is not None:
                try:
                    track.continue_with(earlier)
                except (OSError, MonitorError) as error:
                    logger.warning("%s is not continued: %s", earlier.name, error)
        return track

    def _take_block(self, track: Track, block: SampleBlock) -> None:
        if self._waiting > MOST_WAITING_BYTES + len(self._tracks) * MORE_WAITING_BYTES:
            self._drop(track)
        track.add(block)
        self._waiting += block.samples.nbytes
        if track.bytes > MOST_AT_ONCE:
            self._full.add(track.stream)

    def _take_beat(self, track: Track, beat: Beat) -> None:
        stream, epoch, _ = beat.id
        rhythm = self._rhythms.setdefault(stream, Rhythm())
        if not track.rhythm:
            self._change(track, epoch, beat.sample, rhythm.name)
        track.mark(epoch, beat.sample, beat.beat_class or "Q")

    def _take_alert(self, alert: Alert) -> None:
        track = self._tracks[alert.stream]
        rhythm = self._rhythms.setdefault(alert.stream, Rhythm())
        rhythm.take(alert)
        if track.rhythm or rhythm.name != NORMAL:
            self._change(track, alert.epoch, changed_at(alert, track.fs_hz), rhythm.name)

    def _change(self, track: Track, epoch: int, sample: int, rhythm: str) -> None:
        if rhythm != track.rhythm:
            track.rhythm = rhythm
            track.mark(epoch, sample, CHANGE, rhythm)

    def _end(self, name: str) -> None:
        """Let a stream end: what waits of it is still written."""
        self._rhythms.pop(name, None)
        self._full.discard(name)
        if (track := self._tracks.pop(name, None)) is not None:
            self._ending.append(track)
        if len(self._ending) > _MOST_ENDING:  # the folder cannot be written
            self._drop(self._ending.pop(0))

    def _drop(self, track: Track) -> None:
        self._waiting -= track.bytes
        self._lost += track.drop()

    # --- out -----------------------------------------------------------------------------------

    def write(self, now: float) -> None:
        """Write what is due at ``now``, by the clock of the hub."""
        self._now = now
        if now < self._retry_at:
            return
        if self.fault:
            with suppress(OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while self._ending and self._written(self._ending[0], ends=True):
            self._ending.pop(0)
        for name in list(self._full):
            if not self._written(self._tracks[name]):
                return
            self._full.discard(name)
        # Those that are due at one time spread: an alert must not wait for all of them.
        for _ in range(max(_WRITES_A_TURN, len(self._tracks) // _TURNS)):
            track = next(iter(self._tracks.values()), None)
            if track is None or now - track.written_at < WRITE_S or not self._written(track):
                break
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._housekeeping.hold_within_limits(self._in_use(), self._utc())

    def write_now(self, names: Collection[str]) -> None:
        """Write these streams: the hub is about to save their states."""
        if self._now >= self._retry_at:
            for name in names:
                if name in self._tracks and not self._written(self._tracks[name]):
                    break
            while self._ending and self._written(self._ending[0], ends=True):
                self._ending.pop(0)

    def _written(self, track: Track, *, ends: bool = False) -> bool:
        """Write a track; return whether that was possible."""
        before = track.bytes
        try:
            self._lost += track.end() if ends else track.write()
        except (OSError, MonitorError) as error:
            self._failed(error)
            return False
        finally:
            self._waiting -= before - track.bytes
        if not ends:
            track.written_at = self._now
            self._tracks.move_to_end(track.stream)
        if self.fault:
            logger.warning("recording into %s again", self._folder)
            self.fault = ""
        return True

    def _failed(self, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else str(error)
        fault = f"recording into {self._folder} stopped: {why}"
        if fault != self.fault:
            logger.warning("%s", fault)
        self.fault = fault
        self._retry_at = self._now + _RETRY_S

    def _in_use(self) -> set[str]:
        return {name for one in (*self._tracks.values(), *self._ending) for name in one.names}

    def close(self) -> None:
        """Write what waits, and end all segments; a hub that continues goes on with them."""
        for name in list(self._tracks):
            self._end(name)
        while self._ending and self._written(self._ending[0], ends=True):
            self._ending.pop(0)
        self._housekeeping.close(_CLOSE_S)

    def report(self) -> RecordingReport:
        """Return how the recording fares."""
        return RecordingReport(
            folder=self._folder.name,
            streams=len(self._tracks),
            bytes=self._housekeeping.stored,
            lost_samples=self._lost,
            fault=self.fault,
        )
