"""How much room and credit streams have, by how many there are: no sockets, no hub."""

from typing import cast

import numpy as np
import pytest

from pipeline.alarms.settings import DEFAULTS
from pipeline.hub.admission import CHUNKS_UNDER_WAY, LEAST_OF_RECORD, SHORT_UNDER_WAY, Admission
from pipeline.hub.dispatch import Dispatcher
from pipeline.schema.messages import Chunk, Opened
from pipeline.scoring.beat import Beat
from pipeline.stream.streams import Streams
from tests.support.running import CONFIG

FS = 100.0
BEAT = cast(Beat, None)
"""Nobody looks at one here."""


def streams_of(count: int) -> Streams:
    """Return so many streams, none of which has a beat."""
    streams = Streams(CONFIG, DEFAULTS, lambda: 0.0, max_streams=count)
    for n in range(count):
        opened = Opened(stream=f"s{n}", fs_hz=FS, lead="", epoch=0, first_sample=0)
        streams.sessions[opened.stream] = streams.begun(opened)
    return streams


@pytest.mark.parametrize(("streams", "fast"), [(1, CHUNKS_UNDER_WAY), (64, 4), (300, 1)])
def test_sources_of_a_fast_replay_share_what_is_under_way(streams: int, fast: int) -> None:
    """Ten seconds of each of many would be minutes of work; a paced source has what it needs."""
    admission = Admission(streams_of(streams), Dispatcher())
    admission.update(0, 0.0)
    for seconds, credit in [
        (10.0, fast), (0.2, CHUNKS_UNDER_WAY), (0.02, SHORT_UNDER_WAY), (2.0, CHUNKS_UNDER_WAY),
    ]:  # fmt: skip
        taken = admission.on_taken("s0", FS, [round(seconds * FS)])
        admission.on_answered("s0", sum(taken))
        assert admission.credit("s0") == credit


@pytest.mark.parametrize(("count", "room"), [(10, 409), (300, LEAST_OF_RECORD)])
def test_of_many_streams_records_wait_sooner_than_devices(count: int, room: int) -> None:
    """A record loses nothing by it; the beats of a device with a full room are given up."""
    streams = streams_of(count)
    admission, still = Admission(streams, Dispatcher()), np.zeros(100, np.float32)
    admission.update(0, 0.0)
    for name, stamp_s in (("s0", None), ("s1", 1e9)):
        chunk = Chunk(stream=name, first_sample=0, fs_hz=FS, samples=still, stamp_s=stamp_s)
        streams.apply(chunk, 0.0)
    for beats, waits in [(room - 1, [False, False]), (room, [True, False])]:
        for name in ("s0", "s1"):
            streams.sessions[name].stream.beats.state.beats[:] = [BEAT] * beats
        admission.update(0, 1.0)
        assert [admission.holds(name, 1.0) for name in ("s0", "s1")] == waits
        assert [admission.credit(name) == 0 for name in ("s0", "s1")] == waits
