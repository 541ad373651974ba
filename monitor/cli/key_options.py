"""Options of the commands that show a key, and what becomes of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.transport.curve import ClientKeys

Key = Annotated[
    Optional[str],  # noqa: UP045  (typer reads annotations at run time)
    typer.Option(help="Name of our own key (monitor keys new), for a hub that asks for keys."),
]
ServerKey = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="The hub's public key, or its name in the folder of keys."),
]
Keys = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Folder of keys; ~/.config/ecg-monitor/keys by default."),
]


def client_keys(
    key: str | None, server_key: str | None, folder: Path | None
) -> "ClientKeys | None":
    """Return what the options say to show a hub; None for nothing.

    Raises:
        ConfigError: only one of the two keys is given.
        KeysError: a key cannot be used.
    """
    if key is None and server_key is None:
        return None
    if key is None or server_key is None:
        raise ConfigError("--key and --server-key go together: our own key, and the hub's")
    from pipeline.transport.keystore import KeyStore, default_folder

    return KeyStore(folder or default_folder()).client(key, server_key)
