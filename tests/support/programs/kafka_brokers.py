"""Three brokers of librdkafka's mock cluster, as a process: it prints their addresses.

Each line on stdin is a command, answered by one line with its result, 0 for success: ``topic
NAME PARTITIONS``, ``down BROKER``, ``up BROKER``, ``errors API CODE...`` (the next answers to
requests of that kind), ``delay BROKER MS``. The client library has the cluster inside, and Python
no names for it: hence ctypes. It stores nothing, and keeps some megabytes of each partition.
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
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(found, name).restype = POINTER
    found.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return found


def main() -> None:
    """Serve until stdin ends."""
    rd = library()
    why = ctypes.create_string_buffer(512)
    handle = POINTER(rd.rd_kafka_new(0, POINTER(rd.rd_kafka_conf_new()), why, 512))
    cluster = POINTER(rd.rd_kafka_mock_cluster_new(handle, 3))
    rd.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, ctypes.c_int32(100))
    say(rd.rd_kafka_mock_cluster_bootstraps(cluster).decode())
    for line in sys.stdin:
        match line.split():
            case ["topic", name, partitions]:
                done = rd.rd_kafka_mock_topic_create(cluster, name.encode(), int(partitions), 3)
            case ["down", broker]:
                done = rd.rd_kafka_mock_broker_set_down(cluster, ctypes.c_int32(int(broker)))
            case ["up", broker]:
                done = rd.rd_kafka_mock_broker_set_up(cluster, ctypes.c_int32(int(broker)))
            case ["delay", broker, ms]:
                done = rd.rd_kafka_mock_broker_set_rtt(
                    cluster, ctypes.c_int32(int(broker)), ctypes.c_int(int(ms))
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
