"""`monitor bridge fhir`: each alert, with the signal around it, as a FHIR resource.

To a server by conditional create (``If-None-Exist`` with the identifier ``<log_id>/<seq>``), so
that a repeated alert creates nothing, or into a folder, one file an alert. The signal comes from
the monitor's control socket a few seconds after its alert, and the alert waits for it.
"""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from models.files.atomic_write import write_atomically
from monitor.bridges.fhir_resources import ALERTS, Resource, resource_of
from monitor.bridges.fhir_versions import FhirVersion
from monitor.bridges.http import HttpTarget
from monitor.bridges.outlet import Outlet, UnavailableError, record_id
from monitor.bridges.targets import read_secret
from monitor.log_format import report_line
from monitor.text import safe_text
from pipeline.client import CONTROL_ABOVE, ask, endpoint_above
from pipeline.errors import ConfigError, EndpointError
from pipeline.schema.public import Alert, Gap, LogReplaced, Received, SignalStrip, encode_json
from pipeline.schema.requests import Show
from pipeline.transport.curve import ClientKeys

_EXAMPLE: Final = "https://host/fhir"
_STRIP_S: Final = 10.0
"""So long an alert waits for its strip, which ends five seconds of signal behind it."""

_ASK_AGAIN_S: Final = 0.5
_RECENT_S: Final = 60.0
"""Older alerts have their strip by now, or will never have one."""

StripSource = Callable[[int], SignalStrip | None]
"""Returns the signal around the alert of a number, or None."""


def strips_of(endpoint: str, keys: ClientKeys | None) -> StripSource:
    """Return what asks the monitor at ``endpoint`` for the signal around an alert.

    Raises:
        ConfigError: the address is malformed.
    """
    control = endpoint_above(endpoint, CONTROL_ABOVE)

    def strip(seq: int) -> SignalStrip | None:
        try:
            return ask(control, Show(seq=seq), keys=keys).strip
        except EndpointError as error:
            raise UnavailableError(str(error)) from None

    return strip


class FhirOutlet(Outlet):
    """Makes resources and hands them on; a server or a folder is a subclass."""

    def __init__(self, version: FhirVersion, strips: StripSource) -> None:
        self._version = version
        self._strips = strips
        self._waiting: tuple[str, float] = ("", 0.0)

    def deliver(self, message: Received) -> None:
        """Hand on an alert of the log; what is not recorded comes again with its number."""
        if isinstance(message, Gap | LogReplaced):
            report_line(f"monitor: not in FHIR: {safe_text(message.reason, 200)}")
        elif isinstance(message, Alert):
            strip = self._strip(message)
            self._put(message, resource_of(message, strip, self._version))

    def _strip(self, alert: Alert) -> SignalStrip | None:
        """Return the signal around an alert of the heart; wait for it while it is recent."""
        if not alert.stream or alert.category != "physiological" or not alert.begins:
            return None
        strip = self._strips(alert.seq)
        if strip is not None or not _is_recent(alert):
            return strip
        identity, now = record_id(alert), time.monotonic()
        if self._waiting[0] != identity:
            self._waiting = (identity, now)
        if now - self._waiting[1] < _STRIP_S:
            raise UnavailableError(retry_s=_ASK_AGAIN_S)
        return None

    def _put(self, alert: Alert, resource: Resource) -> None:
        raise NotImplementedError

    def confirm(self) -> None:
        """Nothing waits: what was handed on is there."""


class FhirServer(FhirOutlet):
    """Creates resources on a server."""

    def __init__(
        self, url: str, version: FhirVersion, strips: StripSource, *, token_file: Path | None = None
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: the base of the server; ``/Observation`` or ``/DeviceAlert`` follows.
            version: of FHIR.
            strips: the signal around alerts.
            token_file: with a bearer token, closed to others.

        Raises:
            ConfigError: the address is malformed, or the file cannot be used.
        """
        super().__init__(version, strips)
        self._to = HttpTarget(url.rstrip("/"), _EXAMPLE)
        self.target = f"{self._to.shown}/{version.resource_type}"
        self._headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
        if token_file is not None:
            token = read_secret(token_file).decode(errors="replace")
            if not token.isascii() or not token.isprintable() or " " in token:
                raise ConfigError(f"{token_file} holds no bearer token: one line without spaces")
            self._headers["Authorization"] = f"Bearer {token}"

    def _put(self, alert: Alert, resource: Resource) -> None:
        same = quote(f"{ALERTS}|{record_id(alert)}", safe="")
        self._to.post(
            encode_json(resource),
            self._headers | {"If-None-Exist": f"identifier={same}"},
            f"alert {alert.seq} ({alert.kind})",
            suffix=f"/{self._version.resource_type}",
        )


class FhirFolder(FhirOutlet):
    """Writes resources into a folder: ``<log_id>-<seq>.json``."""

    def __init__(self, folder: Path, version: FhirVersion, strips: StripSource) -> None:
        """Make the folder where needed.

        Raises:
            ConfigError: it cannot be made.
        """
        super().__init__(version, strips)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make {folder}: {error.strerror}; name another") from None
        self._folder = folder
        self.target = str(folder.resolve())

    def _put(self, alert: Alert, resource: Resource) -> None:
        file = self._folder / f"{quote(alert.log_id, safe='')}-{alert.seq:09d}.json"
        try:
            write_atomically(file, encode_json(resource) + b"\n")
        except ConfigError as error:  # a disk that is full now has room later
            raise UnavailableError(str(error)) from None


def _is_recent(alert: Alert) -> bool:
    try:
        age_s = time.time() - datetime.fromisoformat(alert.utc).timestamp()
    except (ValueError, OverflowError):
        return False
    return abs(age_s) < _RECENT_S
