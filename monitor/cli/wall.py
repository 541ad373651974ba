"""Parse ``monitor wall``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

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

wall_app = typer.Typer()


@wall_app.command()
def wall(
    http: Annotated[
        str, typer.Option(metavar="ADDR", help="Address and port to serve at.")
    ] = "127.0.0.1:8080",
    token: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="File with the token that opens the wall (monitor keys token FILE)."),
    ] = None,
    tls_cert: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="File with the certificate, in PEM; needed for other machines."),
    ] = None,
    tls_key: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="File with its key, closed to others."),
    ] = None,
    name: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Name of this machine under which browsers reach it; repeatable."),
    ] = None,
    log: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Log of the monitor, for heart rates of the hours before the wall."),
    ] = None,
    endpoint: Endpoint = ENDPOINT,
    key: Key = None,
    server_key: ServerKey = None,
    keys: Keys = None,
    log_format: LogLines = LogFormat.TEXT,
) -> None:
    """Show a running monitor in browsers, read-only, until Ctrl-C; needs the extra wall."""
    from monitor.wall.server import WallOptions, run_wall

    options = WallOptions(
        http=http,
        token=token,
        certificate=tls_cert,
        certificate_key=tls_key,
        names=tuple(name or ()),
        log=log,
    )
    run_wall(endpoint, options, keys=client_keys(key, server_key, keys))
