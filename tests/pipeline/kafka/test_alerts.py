"""A reader of alerts yields each once, wherever it begins."""

import pytest

from pipeline.kafka.alerts import ID, AlertId, AlertReader
from pipeline.schema.public import encode_json
from tests.support.kafka import Brokers
from tests.support.logs import alert
from tests.support.running import until

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
