"""A reader of alerts yields each once, wherever it begins; a writer leaves none out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline.kafka.alerts import ID, AlertId, AlertReader, AlertWriter
from pipeline.schema.public import encode_json
from tests.support.kafka import Brokers
from tests.support.logs import alert
from tests.support.running import until

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")
pytestmark = pytest.mark.system


def test_what_was_there_before_is_no_news_when_it_is_written_again() -> None:
    """A worker that takes over writes the alerts of the last minute once more."""
    with Brokers(1) as brokers:
        producer = brokers.cluster.producer()

        def write(*offsets: int) -> None:
            for offset in offsets:
                headers = {ID: str(AlertId(0, offset, 0)).encode()}
                value = encode_json(alert(offset))
                producer.produce(brokers.topics.alerts, value, partition=0, headers=headers)
            assert producer.flush(10.0) == 0

        write(1, 2, 3)
        with AlertReader(brokers.cluster, from_now=True) as reader:
            found: list[int] = []

            def read() -> bool:
                found.extend(one.id.offset for one in reader.read(0.1))
                return reader.positions.get(0, (0,))[0] >= 6

            write(2, 3, 4)
            until(read)
            assert found == [4]
            assert reader.lag == 0


class SlowProducer:
    """Stands for the producer of the client: takes what it has room for, delivers on demand."""

    def __init__(self) -> None:
        """Begin with room."""
        self.has_room = True
        self.taken: list[bytes] = []
        self._under_way: list[Callable[[KafkaError | None, object], None]] = []

    def produce(self, topic: str, value: bytes, **further: Any) -> None:
        """Take a message, or raise `BufferError`."""
        if not self.has_room:
            raise BufferError
        self.taken.append(value)
        self._under_way.append(further["on_delivery"])

    def deliver(self, error: "KafkaError | None" = None) -> None:
        """Say that the only message under way was delivered, or refused."""
        (on_delivery,) = self._under_way
        self._under_way = []
        on_delivery(error, None)


def test_an_alert_waits_until_the_brokers_have_the_one_before_it() -> None:
    """Also where the producer has no room meanwhile; after one that is refused there is none."""
    from confluent_kafka import KafkaError

    producer = SlowProducer()
    writer = AlertWriter(cast(Any, producer), "alerts", 0, "1")
    for place in range(4):
        writer.write(AlertId(0, 7, place), "a", str(place).encode())
    assert producer.taken == [b"0"]
    producer.deliver()
    assert producer.taken == [b"0", b"1"]

    producer.has_room = False
    producer.deliver()
    assert (writer.delivered, writer.handed, writer.is_behind) == (2, 4, True)
    producer.has_room = True
    writer.go_on()
    writer.go_on()
    assert producer.taken == [b"0", b"1", b"2"]

    producer.deliver(KafkaError(KafkaError.UNKNOWN))
    writer.go_on()
    writer.write(AlertId(0, 8, 0), "a", b"4")
    assert producer.taken == [b"0", b"1", b"2"]
    assert (writer.delivered, bool(writer.failure)) == (2, True)
