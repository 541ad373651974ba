"""`monitor alerts`: print the alerts of a Kafka cluster, each once."""

import logging
import sys
from pathlib import Path
from typing import Final

from monitor.alert_lines import record_line
from monitor.kafka.cluster import ClusterOptions
from monitor.log_format import report_line
from monitor.run.processes import interrupted_between_turns, stop_when_orphaned
from pipeline.errors import ConfigError
from pipeline.files import read_regular, replace_file
from pipeline.kafka.alerts import (
    AlertReader,
    PartitionPosition,
    Positions,
    positions_of,
    positions_text,
)
from pipeline.kafka.brokers import failures_in_a_line
from pipeline.schema.public import encode_json

_READ_S: Final = 0.1
_MOST_BYTES: Final = 1 << 20


def print_cluster_alerts(
    options: ClusterOptions, *, stream: str | None, position: Path | None, as_json: bool
) -> None:
    """Print alerts until asked to stop, by SIGTERM or Ctrl-C.

    Args:
        options: name the cluster.
        stream: only alerts of this stream; None for all.
        position: file that keeps how far was read, at first with the oldest alert; None to print
            those from now on.
        as_json: print one JSON object a line.

    Raises:
        ConfigError: a setting is refused, the position cannot be read or written, or the Kafka
            client is not installed.
        EndpointError: no broker answers, or the cluster can no longer be used.
    """
    positions = {} if position is None else _load(position)
    stop = stop_when_orphaned(None)
    with (
        interrupted_between_turns(stop) as stop,
        AlertReader(options.cluster(), positions, from_now=position is None) as reader,
        failures_in_a_line(),
    ):
        removed = 0
        while not stop():
            read = list(reader.read(_READ_S))
            for one in read:
                if stream in (None, one.alert.stream):
                    text = encode_json(one.alert).decode() if as_json else record_line(one.alert)
                    sys.stdout.write(text + "\n")
            sys.stdout.flush()
            # After the lines were flushed: killed between the two, it prints them again.
            if position is not None and read:
                _store(position, reader.positions)
            if reader.removed > removed:
                report_line(
                    f"monitor: {reader.removed - removed} alerts were removed before they were "
                    "read: the topic keeps them no longer",
                    logging.WARNING,
                )
                removed = reader.removed


def _load(path: Path) -> dict[int, PartitionPosition]:
    try:
        return positions_of(read_regular(path, _MOST_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read the position {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(
            f"{path} holds no position in a cluster: name another file, or remove it"
        ) from None


def _store(path: Path, positions: Positions) -> None:
    try:
        replace_file(path, positions_text(positions).encode() + b"\n")
    except OSError as error:
        raise ConfigError(f"cannot write the position {path}: {error.strerror}") from None
