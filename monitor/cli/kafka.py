"""Parse ``monitor gateway``, ``worker``, ``bridge kafka`` and ``alerts``: many machines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from monitor.cli.options import (
    Alarms,
    Bind,
    Brokers,
    FalseAlerts,
    Json,
    KafkaConfig,
    Keys,
    Log,
    LogLines,
    Metrics,
    OnlyStream,
    Parent,
    Port,
    PositionFile,
    Prefix,
    RequireKey,
    StreamPattern,
    Weights,
)
from monitor.log_format import LogFormat
from pipeline.constants import DEFAULT_PORT

if TYPE_CHECKING:
    from monitor.kafka.cluster import ClusterOptions

kafka_app = typer.Typer()
kafka_bridge_app = typer.Typer()

_PREFIX = "ecg"


def _options(brokers: str, prefix: str, config: Path | None) -> "ClusterOptions":
    from monitor.kafka.cluster import ClusterOptions

    return ClusterOptions(brokers=brokers, prefix=prefix, config=config)


@kafka_app.command()
def gateway(
    kafka: Brokers,
    ingest: Annotated[
        str, typer.Option(help="Address for sources; off loopback only with --key.")
    ] = f"tcp://127.0.0.1:{DEFAULT_PORT + 3}",
    partitions: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, max=10_000, help="Create missing topics with this number of partitions."
        ),
    ] = None,
    replicas: Annotated[
        int, typer.Option(min=1, max=5, help="Copies of each partition of topics it creates.")
    ] = 3,
    linger_ms: Annotated[
        float,
        typer.Option(min=0.0, max=1_000.0, help="Milliseconds that a chunk waits for others."),
    ] = 20.0,
    max_streams: Annotated[
        int, typer.Option(min=1, max=30_000, help="Streams that it takes at most.")
    ] = 4_096,
    key: RequireKey = None,
    keys: Keys = None,
    prefix: Prefix = _PREFIX,
    kafka_config: KafkaConfig = None,
    metrics: Metrics = None,
    log_format: LogLines = LogFormat.TEXT,
    parent: Parent = None,
) -> None:
    """Take samples of sources into a Kafka cluster; acknowledge what its brokers have."""
    from monitor.kafka.gateway import run_gateway

    run_gateway(
        _options(kafka, prefix, kafka_config),
        ingest=ingest,
        partitions=partitions,
        replicas=replicas,
        linger_ms=linger_ms,
        max_streams=max_streams,
        metrics=metrics,
        key=key,
        keys=keys,
        parent=parent,
    )


@kafka_app.command()
def worker(
    kafka: Brokers,
    false_alerts_per_hour: FalseAlerts = None,
    alarms: Alarms = None,
    weights: Weights = None,
    snapshot_s: Annotated[
        float, typer.Option(min=0.5, max=3_600.0, help="Seconds between snapshots of a partition.")
    ] = 60.0,
    new_settings: Annotated[
        bool,
        typer.Option(
            "--new-settings",
            help="Go on although other alarm settings or models were in force; otherwise refused.",
        ),
    ] = False,
    screens: Annotated[
        bool,
        typer.Option(
            "--screens",
            help="Write beats, status and signal, too, for dashboards: more than sources send.",
        ),
    ] = False,
    prefix: Prefix = _PREFIX,
    kafka_config: KafkaConfig = None,
    metrics: Metrics = None,
    log_format: LogLines = LogFormat.TEXT,
    parent: Parent = None,
) -> None:
    """Analyse a share of a Kafka cluster's streams, beside other workers."""
    from monitor.kafka.worker import run_worker

    run_worker(
        _options(kafka, prefix, kafka_config),
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        weights=weights,
        snapshot_s=snapshot_s,
        new_settings=new_settings,
        screens=screens,
        metrics=metrics,
        parent=parent,
    )


@kafka_bridge_app.command("kafka")
def bridge(
    kafka: Brokers,
    port: Port = DEFAULT_PORT,
    bind: Bind = "127.0.0.1",
    log: Log = None,
    stream: StreamPattern = "*",
    key: RequireKey = None,
    keys: Keys = None,
    prefix: Prefix = _PREFIX,
    kafka_config: KafkaConfig = None,
    metrics: Metrics = None,
    log_format: LogLines = LogFormat.TEXT,
    parent: Parent = None,
) -> None:
    """Serve a Kafka cluster's alerts as a hub does, to subscribers and dashboards."""
    from monitor.kafka.bridge import run_bridge

    run_bridge(
        _options(kafka, prefix, kafka_config),
        port=port,
        bind=bind,
        log=log,
        pattern=stream,
        metrics=metrics,
        key=key,
        keys=keys,
        parent=parent,
    )


@kafka_app.command()
def alerts(
    kafka: Brokers,
    position: PositionFile = None,
    stream: OnlyStream = None,
    as_json: Json = False,
    prefix: Prefix = _PREFIX,
    kafka_config: KafkaConfig = None,
) -> None:
    """Print the alerts of a Kafka cluster, each once, until it is ended."""
    from monitor.kafka.alerts import print_cluster_alerts

    print_cluster_alerts(
        _options(kafka, prefix, kafka_config), stream=stream, position=position, as_json=as_json
    )
