"""Who may see the wall, and what a browser may do with it. Pure: the time is an argument.

* The ``Host`` of a request must be an address or a name that is ours. So a page from elsewhere
  whose name was pointed at this machine (DNS rebinding) is refused.
* A WebSocket, and a login, must come from a page of our own (``Origin``).
* Where there is a token, a session in a cookie or the token in ``Authorization`` is needed.
* The headers of every answer forbid the page to load or to run anything that is not ours.
"""

import ipaddress
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from monitor.wall.token import SESSION_S, Token

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with it a browser says of the form of the login that its origin is null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Of every answer."""


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one wall."""

    token: Token | None
    """None lets in everybody who reaches it, which is for loopback only."""
    loopback: bool
    """Whether it listens on loopback alone."""
    tls: bool
    names: frozenset[str] = frozenset()
    """Names under which it is reached, beside addresses."""

    def knows_host(self, host: str) -> bool:
        """Return whether a ``Host`` is ours: an address, for rebinding needs a name, or a name."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self.names or (self.loopback and name == "localhost")
        return address.is_loopback or not self.loopback

    def is_own_page(self, origin: str | None, host: str) -> bool:
        """Return whether ``Origin`` is a page of ours, or None: every browser sends one."""
        if origin is None:
            return True
        scheme, _, place = origin.partition("://")
        return scheme in ("http", "https") and place.lower() == host.lower()

    @property
    def cookie(self) -> str:
        """The name of the cookie: with TLS one that no other host can set."""
        return "__Host-wall" if self.tls else "wall"

    def admits(self, authorization: str, cookies: str, utc_s: float) -> bool:
        """Return whether a request may see patients, by its headers."""
        if self.token is None:
            return True
        scheme, _, presented = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.token.matches(presented):
            return True
        try:
            jar: SimpleCookie = SimpleCookie(cookies)
        except CookieError:
            return False
        return self.cookie in jar and self.token.opens(jar[self.cookie].value, utc_s)

    def set_cookie(self, utc_s: float) -> str:
        """Return the header that begins a session."""
        assert self.token is not None
        secure = "; Secure" if self.tls else ""
        return (
            f"{self.cookie}={self.token.session(utc_s)}; Path=/; Max-Age={SESSION_S}; "
            f"HttpOnly; SameSite=Strict{secure}"
        )

    def end_cookie(self) -> str:
        """Return the header that removes a session from a browser."""
        secure = "; Secure" if self.tls else ""
        return f"{self.cookie}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{secure}"
