"""MQTT brokers as processes, and a receiver, for tests."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
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


class Proxy:
    """A way to a broker that can be cut; a context manager."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to_port))
                except OSError:
                    near.close()
                    continue
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    pump = threading.Thread(target=self._pump, args=pair)
                    self._threads.append(pump)
                    pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while body := source.recv(65_536):
                sink.sendall(body)
        self._shut(source, sink)

    def _shut(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End all connections, whatever is on its way."""
        self._shut(*self._sockets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._shut(self._listener)
        self._listener.close()
        self._threads[0].join(DEADLINE_S)
        self.cut()
        for pump in self._threads[1:]:
            pump.join(DEADLINE_S)
        for one in self._sockets:
            one.close()


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
