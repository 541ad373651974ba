"""Addresses and secrets of other systems: what a command line and its files say of them.

Secrets come from the environment or from files that are closed to others, never from the command
line, which every user of a machine can read.
"""

import ipaddress
import logging
import os
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from monitor.log_format import report_line
from monitor.text import safe_text
from pipeline.errors import ConfigError


def parse_url(url: str, ports: dict[str, int], example: str) -> tuple[SplitResult, int]:
    """Return the parts of a URL and its port.

    Args:
        url: as the command line has it.
        ports: the schemes that are taken, with their usual ports.
        example: a URL that is.

    Raises:
        ConfigError: the URL has another scheme, no host, a port out of range, a user or a
            password, or characters that a URL escapes.
    """
    shown = safe_text(url, 200)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{shown!r} is no address: write {example}") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"an address has no user or password, which others could read: write {example}"
        )
    if parts.scheme not in ports or not parts.hostname or port == 0 or not url.isprintable():
        raise ConfigError(f"{shown!r} is no address: write {example}")
    if " " in url or not f"{parts.path}{parts.query}".isascii():
        raise ConfigError(
            f"{shown!r} is no address: write a space in it as %20, and letters beyond ASCII alike"
        )
    return parts, port or ports[parts.scheme]


def warn_unencrypted(host: str, scheme: str) -> None:
    """Say on stderr, where ``host`` is another machine, that others can read what is sent."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        report_line(
            f"monitor: what is sent to {safe_text(host)} is not encrypted: use {scheme}://",
            logging.WARNING,
        )


def read_secret(path: Path, most_bytes: int = 4_096) -> bytes:
    """Return the content of a file that only its owner can read, without the last newline.

    Raises:
        ConfigError: it cannot be read, is empty or too long, or is open to others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            body = file.read(most_bytes + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigError(f"{path} is open to others (mode {mode & 0o777:04o}): chmod 600 {path}")
    secret = body.removesuffix(b"\n").removesuffix(b"\r")
    if not secret or len(body) > most_bytes:
        raise ConfigError(f"{path} holds no secret: it has {len(body)} bytes")
    return secret
