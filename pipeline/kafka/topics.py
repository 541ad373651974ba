"""The topics of a cluster, and which partition a stream belongs to. Pure.

==============  ==================================================  ========================
topic           holds                                               written by
==============  ==================================================  ========================
``chunks``      items of many streams a message, in order            gateways; workers and
                                                                    bridges, of their clock
                                                                    and of operators
``alerts``      one alert a message, as JSON                         the worker of a partition
``answers``     what becomes of questions and refused items          the worker of a partition
``snapshots``   the state of a partition, in pieces                  the worker of a partition
``live``        beats, status and signal for screens, if asked for   the worker of a partition
==============  ==================================================  ========================

All have the same number of partitions, and partition *p* of each is about the streams of partition
*p* of ``chunks``. That number is chosen once: with another one streams would change their
partition, and their past would stay behind in the old one.
"""

import re
import zlib
from dataclasses import dataclass
from typing import Final

from pipeline.errors import ConfigError

DEFAULT_PREFIX: Final = "ecg"

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics of one system; several may share a cluster."""

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        """Refuse what is no name of a topic."""
        if _PREFIX.fullmatch(self.prefix) is None:
            raise ConfigError(f"{self.prefix[:100]!r}: a prefix has letters, digits, . _ and -")

    @property
    def chunks(self) -> str:
        """Topic of what sources send: ``PREFIX.chunks``."""
        return f"{self.prefix}.chunks"

    @property
    def alerts(self) -> str:
        """Topic of alerts: ``PREFIX.alerts``."""
        return f"{self.prefix}.alerts"

    @property
    def answers(self) -> str:
        """Topic of answers to sources and operators: ``PREFIX.answers``."""
        return f"{self.prefix}.answers"

    @property
    def snapshots(self) -> str:
        """Topic of the states of partitions: ``PREFIX.snapshots``."""
        return f"{self.prefix}.snapshots"

    @property
    def live(self) -> str:
        """Topic of what screens show: ``PREFIX.live``."""
        return f"{self.prefix}.live"

    @property
    def group(self) -> str:
        """Consumer group of the workers: ``PREFIX.workers``."""
        return f"{self.prefix}.workers"

    def settings(self) -> dict[str, dict[str, str]]:
        """Return the topics by name, each with the settings in which it differs from others.

        The broker stamps chunks when it appends them, so that time goes by one clock for all
        gateways. Chunks outlive a day without workers, alerts a month without readers. Of snapshots
        the newest stay for ever, and all for an hour: one that is under way takes the keys of the
        one before, which counts until it is complete.
        """
        return {
            self.chunks: {
                "message.timestamp.type": "LogAppendTime",
                "retention.ms": str(24 * _HOUR_MS),
            },
            self.alerts: {"retention.ms": str(30 * 24 * _HOUR_MS)},
            self.answers: {"retention.ms": str(_HOUR_MS // 6)},
            self.snapshots: {
                "cleanup.policy": "compact",
                "min.compaction.lag.ms": str(_HOUR_MS),
                "segment.ms": str(_HOUR_MS // 6),
            },
            self.live: {"retention.ms": str(_HOUR_MS // 6)},
        }


def partition_of(stream: str, partitions: int) -> int:
    """Return the partition of a stream: the same in every process, on every machine."""
    return zlib.crc32(stream.encode()) % partitions
