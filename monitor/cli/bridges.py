"""Parse ``monitor bridge``: carry the alerts of a running monitor to other systems."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from monitor.bridges.fhir_versions import FhirVersion
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
from pipeline.errors import ConfigError

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


@bridge_app.command()
def fhir(
    url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="URL", help="Base of a FHIR server, like https://host/fhir."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write files into this folder instead, one an alert."),
    ] = None,
    version: Annotated[
        FhirVersion, typer.Option(help="Observation (r4, r5) or DeviceAlert (r6, not final).")
    ] = FhirVersion.R5,
    token_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="File with a bearer token for the server, closed to others."),
    ] = None,
    endpoint: Endpoint = ENDPOINT,
    position: Position = None,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log_format: LogLines = LogFormat.TEXT,
) -> None:
    """Create a FHIR resource for each alert, with the signal around it."""
    from monitor.bridges.delivery import run_bridge
    from monitor.bridges.fhir import FhirFolder, FhirServer, strips_of

    feed = _feed(endpoint, position, key, server_key, keys)
    strips = strips_of(endpoint, feed.keys)
    if url is not None and out is None:
        run_bridge(FhirServer(url, version, strips, token_file=token_file), feed)
    elif out is not None and url is None and token_file is None:
        run_bridge(FhirFolder(out, version, strips), feed)
    else:
        raise ConfigError("give --url of a server, or --out of a folder, one of them")


@bridge_app.command()
def lsl(
    network: Annotated[
        bool,
        typer.Option(
            "--network", help="Announce the streams beyond this machine; LSL encrypts nothing."
        ),
    ] = False,
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log_format: LogLines = LogFormat.TEXT,
) -> None:
    """Offer alarms as markers and RR intervals to LSL; needs the extra lsl."""
    from monitor.bridges.delivery import run_bridge
    from monitor.bridges.lsl import LslOutlet

    feed = _feed(endpoint, None, key, server_key, keys)
    run_bridge(LslOutlet(network=network), feed, keeps_position=False)
