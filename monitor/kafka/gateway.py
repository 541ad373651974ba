"""`monitor gateway`: takes sources for a Kafka cluster.

It prints one ``ready`` event with its address and runs until SIGTERM, Ctrl-C, or the death of the
process that started it.
"""

import contextlib
import logging
from functools import partial
from pathlib import Path

from monitor.kafka.cluster import ClusterOptions, served
from monitor.run.events import GatewayReady, announce
from monitor.run.limits import return_memory, set_hub_limits
from monitor.run.processes import interrupted_between_turns, stop_when_orphaned
from monitor.stages.hub import hub_authenticator
from pipeline.kafka.figures import ignore_figures
from pipeline.kafka.gateway import Gateway
from pipeline.transport.addresses import check_address

logger = logging.getLogger(__name__)


def run_gateway(
    options: ClusterOptions,
    *,
    ingest: str,
    partitions: int | None,
    replicas: int,
    linger_ms: float,
    max_streams: int,
    metrics: int | None,
    key: str | None,
    keys: Path | None,
    parent: int | None,
) -> None:
    """Run a gateway until asked to stop.

    Args:
        options: name the cluster.
        ingest: address for sources.
        partitions: of the topics, which are created where they are missing; None to create none.
        replicas: of the topics that are created.
        linger_ms: how long chunks wait for others of their partition.
        max_streams: streams that are taken at most.
        metrics: port of the metrics; None for none.
        key: name of the gateway's own key, to require keys of sources; None for none.
        keys: folder of keys.
        parent: process whose end ends this one; None for none.

    Raises:
        ConfigError: an address is off loopback without a key, a setting is refused, topics are
            missing, or the Kafka client is not installed.
        EndpointError: no broker answers, or the address is in use.
        AuthenticationError: the keys do not protect the socket, or no longer do.
    """
    check_address(ingest, keys=key is not None)
    return_memory()
    stop = stop_when_orphaned(parent)
    cluster = options.cluster()
    if partitions is not None:
        cluster.create_topics(partitions, replicas)
    set_hub_limits()
    authenticator = hub_authenticator(key, keys)
    with (
        interrupted_between_turns(stop) as stop,
        authenticator or contextlib.nullcontext(),
        served(metrics) as server,
        Gateway(
            cluster,
            ingest,
            linger_s=linger_ms / 1e3,
            max_streams=max_streams,
            auth=authenticator,
            on_figures=partial(server.update_figures, None) if server else ignore_figures,
        ) as gateway,
    ):
        url = server.url if server else None
        announce(GatewayReady(gateway.endpoint, gateway.partitions, url))
        logger.info("the gateway takes sources at %s", gateway.endpoint)
        gateway.run(stop)
    logger.info("the gateway has ended")
