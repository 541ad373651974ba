"""Parse ``monitor bridge``: carry the alerts of a running monitor to other systems."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from monitor.cli.kafka import kafka_bridge_app
from monitor.cli.options import (
    ENDPOINT,
    Endpoint,
    Key,
    Keys,
    LogLines,
    ServerKey,
    client_keys,
)
from monitor.log_format import LogFormat

if TYPE_CHECKING:
    from monitor.bridges.delivery import Feed

bridge_app = typer.Typer(
    help="Carry the alerts of a running monitor to MQTT, a webhook, LSL or FHIR (docs/outlets.md); "
    "or serve those of a Kafka cluster."
)
bridge_app.add_typer(kafka_bridge_app)

Position = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        help="File that keeps the position: continue there, at first with the oldest alert. By "
        "default one for each pair of monitor and target, in ~/.local/state/ecg-monitor."
    ),
]


def _feed(
    endpoint: str,
    position: Path | None,
    key: str | None,
    server_key: str | None,
    keys: Path | None,
) -> "Feed":
    from monitor.bridges.delivery import Feed

    return Feed(endpoint, position, client_keys(key, server_key, keys))


@bridge_app.command()
def mqtt(
    broker: Annotated[
        str, typer.Option(metavar="URL", help="mqtt://host:1883, or mqtts://host:8883 for TLS.")
    ],
    prefix: Annotated[str, typer.Option(help="First level, or levels, of all topics.")] = "ecg",
    credentials: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="File with two lines, user and password, closed to others; or set "
            "MONITOR_MQTT_USER and MONITOR_MQTT_PASSWORD."
        ),
    ] = None,
    endpoint: Endpoint = ENDPOINT,
    position: Position = None,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log_format: LogLines = LogFormat.TEXT,
) -> None:
    """Publish alerts and statuses to an MQTT broker; needs the extra mqtt."""
    from monitor.bridges import mqtt as module
    from monitor.bridges.delivery import run_bridge

    user = module.credentials(credentials)
    outlet = module.MqttOutlet(broker, prefix=prefix, user=user)
    run_bridge(outlet, _feed(endpoint, position, key, server_key, keys))


@bridge_app.command()
def webhook(
    url: Annotated[
        str, typer.Option(metavar="URL", help="https://host/path that takes one POST an alert.")
    ],
    secret_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="File with the secret that signs each request, closed to others."),
    ] = None,
    endpoint: Endpoint = ENDPOINT,
    position: Position = None,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log_format: LogLines = LogFormat.TEXT,
) -> None:
    """Post each alert to a web address as a CloudEvent, signed."""
    from monitor.bridges.delivery import run_bridge
    from monitor.bridges.webhook import WebhookOutlet, signing_secret

    outlet = WebhookOutlet(url, secret=signing_secret(secret_file))
    run_bridge(outlet, _feed(endpoint, position, key, server_key, keys))
