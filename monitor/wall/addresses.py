"""The address at which a wall is served, one of this machine with a port; and its names. Pure."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from monitor.text import safe_text
from pipeline.errors import ConfigError

_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\Z")


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """An address to listen at."""

    host: str
    """An IP address."""
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that a command line names; raise `ConfigError` for none."""
        wrong = ConfigError(
            f"{safe_text(text)!r} is no address to serve at: write 127.0.0.1:8080 or [::1]:8080"
        )
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname or "", parts.port
            if port is None or parts.netloc != text or parts.username is not None:
                raise wrong
            return cls(
                str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)), port
            )
        except ValueError:
            raise wrong from None

    @property
    def loopback(self) -> bool:
        """Whether no other machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def family(self) -> socket.AddressFamily:
        """The family of its socket."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def shown_host(self) -> str:
        """The host as a URL has it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.shown_host}:{self.port}"


def host_name(text: str) -> str:
    """Return the name of a machine as browsers send it, lower case.

    Raises:
        ConfigError: no machine can have this name.
    """
    if _HOST_NAME.match(text) is None:
        raise ConfigError(
            f"{safe_text(text)!r} is no name of a machine: write it as in ward.example, without "
            "port; letters other than A-Z as browsers send them, xn--..."
        )
    return text.lower()
