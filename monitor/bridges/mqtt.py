"""`monitor bridge mqtt`: alerts, statuses and whether they can be relied on, for an MQTT broker.

* ``<prefix>/alert/<stream>``: each alert, QoS 1, not retained. Alerts about the system, gaps and
  replaced logs have no stream and come under ``<prefix>/alert``.
* ``<prefix>/status/<stream>``: the status of each stream each second, retained.
* ``<prefix>/online``: ``1`` while this bridge hears from its monitor, ``0`` otherwise; retained,
  and the last will.

Payloads are the objects that subscribers of the monitor receive (docs/subscribing.md). MQTT 3.1.1,
one thread: `confirm` is the network loop, and runs at least once a second.
"""

import os
import secrets
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from monitor.bridges.outlet import Outlet, UnavailableError
from monitor.bridges.targets import parse_url, read_secret, warn_unencrypted
from pipeline.errors import ConfigError, EndpointError
from pipeline.schema.public import (
    Alert,
    Gap,
    LogReplaced,
    Received,
    Status,
    Unrecorded,
    encode_json,
)

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_EXAMPLE: Final = "mqtt://host:1883 or mqtts://host:8883"

USER: Final = "MONITOR_MQTT_USER"
PASSWORD: Final = "MONITOR_MQTT_PASSWORD"  # noqa: S105  (the name of the variable)

_KEEPALIVE_S: Final = 15
_CONNECT_S: Final = 5.0
_SLICE_S: Final = 0.25
_PATIENCE_S: Final = 10.0
"""A broker that has not acknowledged for so long is in trouble."""

_GOODBYE_S: Final = 1.0
_IN_FLIGHT: Final = 100
"""Messages on their way at a time; the others wait in the client."""

_REFUSALS: Final = {
    132: "it speaks no MQTT 3.1.1",
    133: "it refuses the client identifier",
    134: "it refuses the user or the password",
    135: "this user is not authorized",
}
"""What a broker says that it will say again, by MQTT reason code."""


def credentials(file: Path | None) -> tuple[str, str] | None:
    """Return user and password: the two lines of a file, or of the environment; None without.

    Raises:
        ConfigError: the file cannot be read, is open to others, or has not two lines.
    """
    if file is None:
        user, password = os.environ.get(USER), os.environ.get(PASSWORD, "")
        return None if user is None else (user, password)
    try:
        lines = read_secret(file).decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 2:
        raise ConfigError(f"{file} must hold two lines, the user and the password")
    return lines[0], lines[1]


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if topics can begin with it; raise `ConfigError` otherwise."""
    levels = prefix.split("/")
    if any(not level or quote(level, safe=" ") != level for level in levels):
        raise ConfigError(
            f"{prefix!r} cannot begin a topic: write letters, digits, '-', '_' and '.', with '/' "
            "between levels"
        )
    return prefix


class MqttOutlet(Outlet):
    """Publishes to one broker."""

    topics = ("status/",)

    def __init__(
        self, broker: str, *, prefix: str = "ecg", user: tuple[str, str] | None = None
    ) -> None:
        """Prepare; the first `confirm` connects.

        Args:
            broker: ``mqtt://host:port``, or ``mqtts://`` for TLS with the certificates that this
                machine trusts.
            prefix: first levels of all topics.
            user: name and password.

        Raises:
            ConfigError: the address or the prefix is malformed.
            ModuleNotFoundError: the extra ``mqtt`` is not installed.
        """
        parts, self._port = parse_url(broker, _PORTS, _EXAMPLE)
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigError(f"{broker!r} is no address of a broker: write {_EXAMPLE}")
        self._host = parts.hostname or ""
        self._prefix = check_prefix(prefix)
        self.target = f"{parts.scheme}://{self._host}:{self._port}/{prefix}"
        self._client = self._new_client(user)
        if parts.scheme == "mqtts":
            self._client.tls_set_context(ssl.create_default_context())
        else:
            warn_unencrypted(self._host, "mqtts")
        self._sent: set[int] = set()
        self._acknowledged: set[int] = set()
        self._waiting_since = 0.0
        self._reachable = False
        self._begun = False
        self._connected = False
        """By our own account: after a protocol error the client takes itself for connected."""
        self._answer: int | None = None
        """The broker's reason code for this connection; None before it answers."""

    def _new_client(self, user: tuple[str, str] | None) -> "Client":
        from paho.mqtt.client import Client, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"ecg-{secrets.token_hex(8)}",
            protocol=MQTTv311,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.will_set(f"{self._prefix}/online", b"0", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        if user is not None:
            client.username_pw_set(*user)
        return client

    def _on_connect(
        self, client: "Client", data: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        self._answer = reason.value

    def _on_publish(
        self, client: "Client", data: Any, number: int, reason: Any, properties: Any
    ) -> None:
        self._acknowledged.add(number)

    def deliver(self, message: Received) -> None:
        """Publish an alert, or a status if there is a connection: the next one is a second away."""
        if isinstance(message, Status):
            if self._connected:
                self._publish(self._topic("status", message.stream), message, retain=True)
        elif isinstance(message, Unrecorded):
            self._publish(self._topic("alert", message.stream), message.alert)
        elif isinstance(message, Alert | Gap | LogReplaced):
            self._publish(self._topic("alert", message.stream), message)

    def _topic(self, kind: str, stream: str) -> str:
        """Return a topic in which nothing of a stream's name can be a level or a wildcard."""
        base = f"{self._prefix}/{kind}"
        return f"{base}/{quote(stream, safe='')[:1_000]}" if stream else base

    def _publish(
        self, topic: str, message: Status | Alert | Gap | LogReplaced, *, retain: bool = False
    ) -> None:
        if not self._sent:
            self._waiting_since = time.monotonic()
        self._sent.add(self._client.publish(topic, encode_json(message), qos=1, retain=retain).mid)

    def confirm(self) -> None:
        """Connect where needed, send, and wait for the acknowledgements (PUBACK)."""
        if not self._connected:
            self._connect()
        self._turn(0.0)
        while self._sent - self._acknowledged:
            before = len(self._acknowledged)
            self._turn(_SLICE_S)
            if len(self._acknowledged) == before:
                late = time.monotonic() - self._waiting_since > _PATIENCE_S
                reason = f"no acknowledgement for {_PATIENCE_S:g} s" if late else ""
                raise UnavailableError(reason, retry_s=0.0)
        self._sent.clear()
        self._acknowledged.clear()

    def _turn(self, seconds: float) -> None:
        from paho.mqtt.client import MQTT_ERR_SUCCESS, error_string

        code = self._client.loop(seconds)
        if code != MQTT_ERR_SUCCESS:
            self._connected = False
            said = error_string(code).rstrip(".")
            raise UnavailableError(said[:1].lower() + said[1:])

    def _connect(self) -> None:
        """Connect, or connect again: the client then sends what was not acknowledged.

        Raises:
            UnavailableError: nobody answers.
            EndpointError: the broker refuses us.
        """
        from paho.mqtt.client import MQTT_ERR_SUCCESS

        self._answer = None
        try:
            if self._begun:
                self._client.reconnect()
            else:
                self._client.connect(self._host, self._port, keepalive=_KEEPALIVE_S)
                self._begun = True
        except OSError as error:
            raise UnavailableError(error.strerror or str(error)) from None
        until = time.monotonic() + _CONNECT_S
        while self._answer is None and time.monotonic() < until:
            if self._client.loop(_SLICE_S) != MQTT_ERR_SUCCESS:
                break
        if self._answer is None:
            raise UnavailableError("it gives no answer of an MQTT broker")
        if self._answer in _REFUSALS:
            raise EndpointError(f"the broker {self.target}: {_REFUSALS[self._answer]}")
        if self._answer:
            raise UnavailableError(f"it refuses the connection with code {self._answer}")
        self._connected = True
        self._publish_online()

    def contact(self, *, reachable: bool) -> None:
        """Publish whether the absence of alerts means anything."""
        self._reachable = reachable
        if self._connected:
            self._publish_online()

    def _publish_online(self) -> None:
        body = b"1" if self._reachable else b"0"
        self._client.publish(f"{self._prefix}/online", body, qos=1, retain=True)

    def close(self) -> None:
        """Publish that nothing comes any more, and disconnect."""
        from paho.mqtt.client import MQTT_ERR_SUCCESS

        if not self._connected:
            return
        self._reachable = False
        last = self._client.publish(f"{self._prefix}/online", b"0", qos=1, retain=True).mid
        until = time.monotonic() + _GOODBYE_S
        while last not in self._acknowledged and time.monotonic() < until:
            if self._client.loop(_SLICE_S) != MQTT_ERR_SUCCESS:
                return
        self._client.disconnect()
