"""`monitor bridge webhook`: one POST for each alert, as a CloudEvent.

The body is CloudEvents 1.0 in JSON (structured mode); its ``data`` is the alert as subscribers
receive it (docs/subscribing.md). ``Idempotency-Key`` is the same for a repeated alert. With a
secret the request is signed as Standard Webhooks 1.0 says: HMAC-SHA256 over id, time and body.
"""

import base64
import binascii
import hashlib
import hmac
import time
from pathlib import Path
from typing import Final

from monitor.bridges.http import HttpTarget
from monitor.bridges.outlet import Outlet, Record, record_id
from monitor.bridges.targets import read_secret
from pipeline.errors import ConfigError
from pipeline.schema.public import Alert, Gap, LogReplaced, Received, Unrecorded, encode_json

_EXAMPLE: Final = "https://host/path"
_PREFIX: Final = "whsec_"
"""Of a secret in base64, as Standard Webhooks writes it."""

_LEAST_BYTES: Final = 16


def signing_secret(file: Path | None) -> bytes:
    """Return the secret in a file, in base64 after ``whsec_`` or as it is; empty without a file.

    Raises:
        ConfigError: the file cannot be used, or its secret is shorter than 16 bytes.
    """
    if file is None:
        return b""
    secret = read_secret(file)
    if secret.startswith(_PREFIX.encode()):
        try:
            secret = base64.b64decode(secret.removeprefix(_PREFIX.encode()), validate=True)
        except binascii.Error:
            raise ConfigError(f"{file}: what follows {_PREFIX} is not base64") from None
    if len(secret) < _LEAST_BYTES:
        raise ConfigError(f"{file}: a secret has {_LEAST_BYTES} bytes or more: openssl rand 24")
    return secret


def cloud_event(record: Record) -> bytes:
    """Return a record as a CloudEvent in JSON."""
    plain = record.alert if isinstance(record, Unrecorded) else record
    kind = "alert" if isinstance(plain, Alert) else plain.kind
    event: dict[str, str] = {
        "specversion": "1.0",
        "id": record_id(record),
        "source": f"/ecg-monitor/{record_id(record).partition('/')[0]}",
        "type": f"ecg-monitor.{kind}",
        "datacontenttype": "application/json",
    }
    if plain.stream:
        event["subject"] = plain.stream
    if isinstance(plain, Alert) and plain.utc:
        event["time"] = plain.utc
    head = encode_json(event)
    return head[:-1] + b',"data":' + encode_json(plain) + b"}"


def signature(secret: bytes, identity: str, time_s: int, body: bytes) -> str:
    """Return the value of ``webhook-signature`` (Standard Webhooks 1.0, version ``v1``)."""
    signed = f"{identity}.{time_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


class WebhookOutlet(Outlet):
    """Posts to one address."""

    def __init__(self, url: str, *, secret: bytes = b"") -> None:
        """Prepare; nothing is sent yet.

        Raises:
            ConfigError: the address is malformed.
        """
        self._to = HttpTarget(url, _EXAMPLE)
        self._secret = secret
        self.target = self._to.shown

    def deliver(self, message: Received) -> None:
        """Post a record; raise as `monitor.bridges.http.HttpTarget.post` does."""
        if not isinstance(message, Alert | Gap | LogReplaced | Unrecorded):
            return
        identity, body, now = record_id(message), cloud_event(message), int(time.time())
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "Idempotency-Key": identity,
            "webhook-id": identity,
            "webhook-timestamp": str(now),
        }
        if self._secret:
            headers["webhook-signature"] = signature(self._secret, identity, now, body)
        self._to.post(body, headers, f"alert {message.seq} ({message.kind})")

    def confirm(self) -> None:
        """Nothing waits: each answer was the confirmation."""
