"""MQTT brokers as processes, and a receiver, for tests."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.paths import PROGRAMS
from tests.support.running import DEADLINE_S, until


@contextmanager
def running_broker(port: int) -> Iterator[None]:
    """Run amqtt on a port of loopback, for everybody."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "mqtt_broker.py"), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


@contextmanager
def running_mosquitto(
    port: int, folder: Path, *lines: str, after: tuple[str, ...] = ()
) -> Iterator[None]:
    """Run mosquitto on a port of loopback; lines of its configuration, those of the port after."""
    settings = folder / "mosquitto.conf"
    settings.write_text("\n".join([*lines, f"listener {port} 127.0.0.1", *after, ""]))
    process = subprocess.Popen(
        ["/usr/sbin/mosquitto", "-c", str(settings)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        assert any("running" in line for line in process.stderr)
        yield
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


class Receiver:
    """Subscribes to everything at a broker and keeps what comes; a context manager."""

    def __init__(self, port: int, *, user: tuple[str, str] | None = None, tls: Any = None) -> None:
        self.messages: list[MQTTMessage] = []
        self.seqs: list[int] = []
        """Numbers of the alerts, in the order in which they came."""
        self._subscribed = False
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        if user is not None:
            self._client.username_pw_set(*user)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.connect("localhost", port)
        self._client.subscribe("#", qos=1)

    def _on_message(self, client: Client, data: object, message: MQTTMessage) -> None:
        self.messages.append(message)
        if "/alert" in message.topic:
            self.seqs.append(json.loads(message.payload)["seq"])

    def _on_subscribe(self, *arguments: object) -> None:
        self._subscribed = True

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Receive until it is done."""

        def received() -> bool:
            self._client.loop(0.05)
            return done()

        until(received)

    def bodies(self, topic: str) -> list[bytes]:
        """Return what came under a topic."""
        return [m.payload for m in self.messages if m.topic == topic]

    def __enter__(self) -> Self:
        self.wait_for(lambda: self._subscribed)
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.disconnect()
