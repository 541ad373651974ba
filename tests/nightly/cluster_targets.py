"""What reads bytes of others on the topics of a cluster, with bytes that it accepts."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.alarms.settings import DEFAULTS
from pipeline.kafka.alerts import (
    AlertId,
    PartitionPosition,
    alert_of,
    positions_of,
    positions_text,
)
from pipeline.kafka.partition import Partition, Rules
from pipeline.kafka.scoring import score_all
from pipeline.kafka.senders import Senders
from pipeline.schema.messages import Accepted, Chunk, End, Hello, Refused, encode
from pipeline.schema.partition_log import (
    Answer,
    Pointer,
    Silent,
    decode_answer,
    decode_pointer,
    decode_saved,
    encode_acknowledged,
    encode_answer,
    encode_batch,
    encode_pointer,
    encode_saved,
    encode_silent,
)
from pipeline.schema.public import encode_json
from tests.nightly.targets import Target
from tests.support.logs import alert
from tests.support.running import CONFIG, TrivialScorer

_FS: Final = 360
_SESSION: Final = "a1" * 16
_RULES: Final = Rules(live_score=CONFIG, alarms=DEFAULTS, version="1")

_BEAT: Final = np.concatenate([np.zeros(170), np.hanning(20) * 1.2, np.zeros(170)])


def _chunk(number: int, *, leads: int = 1) -> Chunk:
    """Return a second with a beat, the ``number``-th."""
    x = np.tile(_BEAT.astype("<f4"), (leads, 1))
    return Chunk(
        stream="s", first_sample=(number - 1) * _FS, fs_hz=float(_FS), session=_SESSION,
        samples=x if leads > 1 else x[0], number=number, lead="I",
        leads=["I", "II", "V1"][:leads] if leads > 1 else [],
    )  # fmt: skip


def _partition() -> Partition:
    """Return one with a stream that has begun, and that alarms."""
    one = Partition(_RULES, lambda: 0.0, 0.0)
    for number in range(1, 4):
        _take(one, encode_batch([encode(_chunk(number))]))
    return one


def _take(one: Partition, data: bytes) -> int:
    """Apply a message; return how many of its items were not taken."""
    at = float(one.next_offset)
    step = one.take(data, one.next_offset, at, at)
    if step.beats:
        one.on_scores(step, score_all(TrivialScorer(), step.beats), 0)
    return step.rejected


def batches(folder: Path, chance: random.Random) -> Target:
    """Return messages of the topic of chunks, for a partition that goes on, whatever they hold."""
    progress = {"epoch": 0, "next_sample": 3 * _FS}
    items = [
        encode(_chunk(4)),
        encode(_chunk(1, leads=3)),
        encode(Hello(stream="s", session=_SESSION)),
        encode(End(stream="s", next_sample=3 * _FS, session=_SESSION, number=4)),
        encode_silent(Silent(stream="s", age_s=3.0, **progress)),
        encode_acknowledged("s", ""),
    ]
    held: list[Partition] = []

    def read(data: bytes) -> bool:
        if not held or held[0].next_offset > 60:
            held[:] = [_partition()]
        return not _take(held[0], data)

    return Target(
        [(encode_batch([one]), read) for one in items[:1] + items[2:]]
        + [(encode_batch(items), lambda data: read(data) is not None)]
    )


def answers(folder: Path, chance: random.Random) -> Target:
    """Return messages of the topic of answers, for the sources of a gateway."""
    accepted = Accepted(stream="s", epoch=1, next_sample=9, credit=8, session=_SESSION, written=3)
    missing = Accepted(stream="s", epoch=1, next_sample=9, credit=8, number=4, missing=True)
    senders: Senders[str] = Senders(100)

    def read(data: bytes) -> bool:
        answer = decode_answer(data)
        senders.on_hello(Hello(stream="s", session=_SESSION), "peer", 0.0, lambda *one: True)
        senders.on_answer(answer)
        return True

    contents = [
        Answer(asking=_SESSION, accepted=accepted),
        Answer(asking=_SESSION, accepted=missing),
        Answer(asking=_SESSION, refused=Refused(stream="s", reason="no", busy=True)),
    ]
    return Target([(encode_answer(one), read) for one in contents])


def snapshots(folder: Path, chance: random.Random) -> Target:
    """Return a state and the pointer to it: what is read continues, or the stream begins again."""

    def read(data: bytes) -> bool:
        one = Partition(_RULES, lambda: 0.0, 0.0, decode_saved(data))
        _take(one, encode_batch([encode(_chunk(4))]))
        return not one.lost

    pointer = encode_pointer(Pointer(7, 2, 99)).encode()
    return Target(
        [
            (encode_saved(_partition().saved()), read),
            (pointer, lambda data: bool(decode_pointer(data.decode("utf-8", "replace")))),
        ]
    )


def alerts(folder: Path, chance: random.Random) -> Target:
    """Return alerts and their ids, and the positions of a reader of them."""
    one, id_ = encode_json(alert(1)), str(AlertId(1, 22, 3)).encode()

    def position(data: bytes) -> bool:
        try:
            return bool(positions_of(data))
        except ValueError:
            return False

    text = positions_text({0: PartitionPosition(8, AlertId(1, 22, 3))}).encode()
    return Target(
        [
            (one, lambda data: bool(alert_of(id_, data))),
            (id_, lambda data: bool(alert_of(data, one))),
            (text, position),
        ]
    )


TARGETS: Final[dict[str, Callable[[Path, random.Random], Target]]] = {
    "chunks of a cluster": batches,
    "answers of workers": answers,
    "snapshots of partitions": snapshots,
    "alerts of a cluster": alerts,
}
