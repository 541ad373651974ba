"""Which addresses may be used. Pure: nothing is bound or connected here."""

import ipaddress
import re
from typing import Final

from pipeline.errors import ConfigError

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?", re.ASCII)


def check_address(endpoint: str, *, keys: bool = False) -> None:
    """Raise `ConfigError` unless ``endpoint`` is ``tcp://`` on loopback, or ``keys`` are used."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if not endpoint.startswith("tcp://") or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{endpoint[:200]!r} is no address: write tcp://127.0.0.1:PORT")
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
        if _HOST.fullmatch(host) is None:
            raise ConfigError(f"{endpoint[:200]!r} names no host") from None
    if not loopback and not keys:
        raise ConfigError(
            f"{endpoint} is reachable from outside this machine and unprotected: "
            "use 127.0.0.1, or keys (docs/deploy.md)"
        )
