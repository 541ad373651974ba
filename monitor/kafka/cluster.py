"""The cluster that the options of a command name, and the metrics of the commands."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.kafka.brokers import Cluster, load_settings
from pipeline.kafka.topics import Topics

if TYPE_CHECKING:
    from monitor.metrics import MetricsServer


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What every command of a cluster is given."""

    brokers: str
    prefix: str
    config: Path | None

    def cluster(self) -> Cluster:
        """Return the cluster.

        Raises:
            ConfigError: the prefix or a setting is refused, or the client is not installed.
        """
        settings = load_settings(self.config)
        return Cluster(brokers=self.brokers, topics=Topics(self.prefix), settings=settings)


def served(metrics: int | None) -> "contextlib.AbstractContextManager[MetricsServer | None]":
    """Return a server of metrics on a port, to be entered; None in its place without a port.

    Raises:
        EndpointError: the port cannot be used.
    """
    if metrics is None:
        return contextlib.nullcontext()
    from monitor.metrics import MetricsServer

    return MetricsServer(metrics)
