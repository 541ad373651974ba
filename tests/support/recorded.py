"""Recordings of signals, as a hub with ``--record`` writes them, without a hub."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.signal.samples import SampleBlock
from replay.recording.housekeeping import Housekeeping
from replay.recording.retention import KEEP_ALL
from replay.recording.track import Track


def record(
    folder: Path,
    blocks: Iterable[SampleBlock],
    fs_hz: float,
    leads: tuple[str, ...],
    began_s: float,
    *,
    stream: str = "bed1",
    log_id: str = "log",
) -> None:
    """Record blocks, written one by one, by a clock that goes on with their positions."""
    folder.mkdir(parents=True, exist_ok=True)
    now_s = began_s
    housekeeping = Housekeeping(folder, KEEP_ALL, None)
    track = Track(folder, stream, fs_hz, leads, log_id, lambda: now_s, housekeeping)
    for block in blocks:
        now_s = began_s + block.first_sample / fs_hz
        track.add(block)
        track.write()
    track.end()
    housekeeping.close(10.0)
