"""The cluster that the options of a command name."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.kafka.brokers import Cluster, load_settings
from pipeline.kafka.topics import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What every command of a cluster is given."""

    brokers: str
    prefix: str
    config: Path | None

    def cluster(self) -> Cluster:
        """Return the cluster.

        Raises:
            ConfigError: the prefix or a setting is refused.
        """
        settings = load_settings(self.config)
        return Cluster(brokers=self.brokers, topics=Topics(self.prefix), settings=settings)
