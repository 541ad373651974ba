"""Three brokers of librdkafka's mock cluster, as a process: it prints their addresses.

Each line on stdin is a command, answered by one line with its result, 0 for success: ``topic
NAME PARTITIONS``, ``down BROKER``, ``up BROKER``, ``errors API CODE...`` (the next answers to
requests of that kind), ``delay BROKER MS``, ``leader TOPIC PARTITION BROKER``, ``coordinator GROUP
BROKER``, ``header TOPIC`` (a message with a header whose name is no text; the client for Python
writes none). The client library has the cluster inside, and Python no names for it: hence ctypes.
It stores nothing, and keeps some megabytes of each partition.
"""

import ctypes
import sys
from pathlib import Path

import confluent_kafka

POINTER = ctypes.c_void_p


def say(text: object) -> None:
    """Write a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def library() -> ctypes.CDLL:
    """Return the librdkafka that the installed client uses."""
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    found = ctypes.CDLL(str(next(folder.glob("librdkafka-*"))))
    pointers = ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new")
    for name in (*pointers, "rd_kafka_produceva"):
        getattr(found, name).restype = POINTER
    found.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return found


class _Header(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_char_p), ("size", ctypes.c_ssize_t))


class _Field(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("number", ctypes.c_int32),
        ("header", _Header),
        ("padding", ctypes.c_char * 64),
    )


class _Tagged(ctypes.Structure):
    """``rd_kafka_vu_t``: a field of a message, 1 its topic, 3 its partition, 9 a header."""

    _fields_ = (("kind", ctypes.c_int), ("field", _Field))


def write_header(rd: ctypes.CDLL, brokers: bytes, topic: str) -> int:
    """Write a message to partition 0, with a header whose name is no UTF-8; return 0, if it is."""
    why, conf = ctypes.create_string_buffer(512), POINTER(rd.rd_kafka_conf_new())
    rd.rd_kafka_conf_set(conf, b"bootstrap.servers", brokers, why, 512)
    producer = POINTER(rd.rd_kafka_new(0, conf, why, 512))
    fields = (_Tagged * 3)()
    fields[0].kind, fields[0].field.text = 1, topic.encode()
    fields[1].kind, fields[1].field.number = 3, 0
    fields[2].kind, fields[2].field.header = 9, _Header(b"\xff\xfe", b"x", 1)
    refused = rd.rd_kafka_produceva(producer, fields, ctypes.c_size_t(3))
    done = -1 if refused else rd.rd_kafka_flush(producer, 10_000)
    rd.rd_kafka_destroy(producer)
    return int(done)


def main() -> None:
    """Serve until stdin ends."""
    rd = library()
    why = ctypes.create_string_buffer(512)
    handle = POINTER(rd.rd_kafka_new(0, POINTER(rd.rd_kafka_conf_new()), why, 512))
    cluster = POINTER(rd.rd_kafka_mock_cluster_new(handle, 3))
    rd.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, ctypes.c_int32(100))
    addresses = rd.rd_kafka_mock_cluster_bootstraps(cluster)
    say(addresses.decode())
    for line in sys.stdin:
        match line.split():
            case ["topic", name, partitions]:
                done = rd.rd_kafka_mock_topic_create(cluster, name.encode(), int(partitions), 3)
            case ["header", topic]:
                done = write_header(rd, addresses, topic)
            case ["down", broker]:
                done = rd.rd_kafka_mock_broker_set_down(cluster, ctypes.c_int32(int(broker)))
            case ["up", broker]:
                done = rd.rd_kafka_mock_broker_set_up(cluster, ctypes.c_int32(int(broker)))
            case ["delay", broker, ms]:
                done = rd.rd_kafka_mock_broker_set_rtt(
                    cluster, ctypes.c_int32(int(broker)), ctypes.c_int(int(ms))
                )
            case ["leader", topic, partition, broker]:
                done = rd.rd_kafka_mock_partition_set_leader(
                    cluster,
                    topic.encode(),
                    ctypes.c_int32(int(partition)),
                    ctypes.c_int32(int(broker)),
                )
            case ["coordinator", group, broker]:
                done = rd.rd_kafka_mock_coordinator_set(
                    cluster, b"group", group.encode(), ctypes.c_int32(int(broker))
                )
            case ["errors", api, *codes]:
                numbers = (ctypes.c_int * len(codes))(*map(int, codes))
                done = rd.rd_kafka_mock_push_request_errors_array(
                    cluster, ctypes.c_int16(int(api)), ctypes.c_size_t(len(codes)), numbers
                )
            case _:
                done = -1
        say(done or 0)


if __name__ == "__main__":
    main()
