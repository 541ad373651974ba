"""POST one body to an HTTP server: once, with what its answer means for whoever would try again.

No redirect is followed: a server could send what is about a patient anywhere. Each request has a
connection of its own, so that an idle one is never taken for trouble.
"""

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final

from monitor.bridges.outlet import UnavailableError
from monitor.bridges.targets import parse_url, warn_unencrypted
from monitor.log_format import report_line
from monitor.text import safe_text
from pipeline.errors import EndpointError

_PORTS: Final = {"http": 80, "https": 443}
_TIMEOUT_S: Final = 10.0
_TOTAL_S: Final = 30.0
"""A server that sends its answer byte by byte gets no more time than this."""

_MOST_BYTES: Final = 65_536
_LONGEST_WAIT_S: Final = 600.0
"""No server makes us wait longer before the next attempt."""

_LATER: Final = frozenset({408, 425, 429})
"""Beside 5xx, answers that say: not now."""


class HttpTarget:
    """An address to POST to."""

    def __init__(self, url: str, example: str) -> None:
        """Parse the URL; https trusts the certificates that this machine trusts.

        Raises:
            ConfigError: it is no URL of http or https.
        """
        parts, self._port = parse_url(url, _PORTS, example)
        self._host = parts.hostname or ""
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        if self._tls is None:
            warn_unencrypted(self._host, "https")
        self.shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
        """The address without its query, which may hold a secret."""

    def post(self, body: bytes, headers: Mapping[str, str], what: str, suffix: str = "") -> None:
        """Send a body; return if it was taken, or refused for its content, which is said.

        Args:
            body: of the request.
            headers: of the request, beside length and host.
            what: it is about, for the line on stderr.
            suffix: of the path.

        Raises:
            UnavailableError: no answer, 408, 425, 429 or 5xx: the same again later.
            EndpointError: a redirect, 401 or 403: the address or the credentials are wrong.
        """
        connection = self._connection()
        cut = threading.Event()
        limit = threading.Timer(_TOTAL_S, _disconnect, (connection, cut))
        limit.daemon = True
        try:
            connection.connect()
            limit.start()
            connection.request("POST", self._path + suffix, body, dict(headers))
            answer = connection.getresponse()
            text = answer.read(_MOST_BYTES).decode(errors="replace")
        except (OSError, HTTPException) as error:
            if cut.is_set():
                raise UnavailableError(_cut_off()) from None
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnavailableError(reason) from None
        finally:
            limit.cancel()
            connection.close()
        if cut.is_set():
            raise UnavailableError(_cut_off())
        self._judge(answer, text, what)

    def _connection(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        return HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=self._tls)

    def _judge(self, answer: HTTPResponse, text: str, what: str) -> None:
        code = answer.status
        said = f"{code} {safe_text(answer.reason)}".strip()
        if 200 <= code < 300:
            return
        if code in _LATER or code >= 500 or code < 200:
            raise UnavailableError(f"it answers {said}", retry_s=_retry_after_s(answer))
        if code < 400:
            raise EndpointError(f"{self.shown} answers {said}: give the address that it names")
        if code in (401, 403):
            raise EndpointError(f"{self.shown} answers {said}: check what proves who we are")
        why = safe_text(" ".join(text.split()), 200)
        line = f"{self.shown} refuses {safe_text(what, 100)}, which is skipped: {said}. {why}"
        report_line(f"monitor: {line.rstrip('. ')}", logging.WARNING)


def _cut_off() -> str:
    return f"no whole answer in {_TOTAL_S:g} s"


def _disconnect(connection: HTTPConnection, cut: threading.Event) -> None:
    """Shut a connection down, which ends the wait for its answer."""
    cut.set()
    with contextlib.suppress(OSError, AttributeError):  # it has ended meanwhile
        connection.sock.shutdown(socket.SHUT_RDWR)


def _retry_after_s(answer: HTTPResponse) -> float | None:
    """Return the seconds that a server asks us to wait; None where it does not say."""
    text = (answer.headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), _LONGEST_WAIT_S)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT_S)
