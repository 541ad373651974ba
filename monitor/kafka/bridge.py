"""`monitor bridge kafka`: serves the alerts of a Kafka cluster as a hub does.

It prints one ``ready`` event with its addresses and runs until SIGTERM, Ctrl-C, or the death of the
process that started it.
"""

import contextlib
import logging
from pathlib import Path

import monitor
from monitor.inputs import default_log
from monitor.kafka.cluster import ClusterOptions, served
from monitor.run.events import BridgeReady, announce
from monitor.run.processes import interrupted_between_turns, stop_when_orphaned
from monitor.stages.hub import hub_addresses, hub_authenticator
from pipeline.kafka.bridge import Bridge, BridgeConfig
from pipeline.log.store import AlertLog
from pipeline.transport.access_list import ALERTS, CONTROL, REPLAY

logger = logging.getLogger(__name__)


def run_bridge(
    options: ClusterOptions,
    *,
    port: int,
    bind: str,
    log: Path | None,
    pattern: str,
    metrics: int | None,
    key: str | None,
    keys: Path | None,
    parent: int | None,
) -> None:
    """Run a bridge until asked to stop.

    Args:
        options: name the cluster.
        port: of the alerts; replay and control are one and two above.
        bind: address to listen on.
        log: the alert log that numbers the alerts; None for a new one.
        pattern: of the streams whose beats, status and signal are passed on.
        metrics: port of the metrics; None for none.
        key: name of the bridge's own key, to require keys of clients; None for none.
        keys: folder of keys.
        parent: process whose end ends this one; None for none.

    Raises:
        ConfigError: an address is off loopback without a key, topics are missing, the log belongs
            to something else, or the Kafka client is not installed.
        EndpointError: no broker answers, or a port is in use.
        LogError: the log cannot be opened.
        AuthenticationError: the keys do not protect the sockets, or no longer do.
    """
    addresses = hub_addresses(bind, port, None, None, with_keys=key is not None)
    stop = stop_when_orphaned(parent)
    authenticator = hub_authenticator(key, keys)
    config = BridgeConfig(
        endpoints={name: addresses[name] for name in (ALERTS, REPLAY, CONTROL)},
        pattern=pattern,
        version=monitor.__version__,
        auth=authenticator,
    )
    with (
        interrupted_between_turns(stop) as stop,
        authenticator or contextlib.nullcontext(),
        AlertLog(log or default_log()) as alert_log,
        served(metrics) as server,
        Bridge(
            options.cluster(),
            alert_log,
            config,
            server.update_figures if server else _ignore_report,
        ) as bridge,
    ):
        announce(
            BridgeReady(
                endpoints=bridge.endpoints,
                log=str(alert_log.path),
                last_seq=alert_log.last_seq,
                metrics=server.url if server else None,
            )
        )
        logger.info("the bridge serves %s", bridge.endpoints[ALERTS])
        bridge.run(stop)
    logger.info("the bridge has ended")


def _ignore_report(*report: object) -> None:
    """Discard a report: no metrics are served."""
