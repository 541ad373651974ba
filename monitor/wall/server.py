"""`monitor wall` as a process: a web server in one loop, and a thread that subscribes.

The thread decodes what the hub publishes and hands it to the loop; all else runs in the loop. It
ends by Ctrl-C, SIGTERM, or once the hub refuses the keys.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from monitor.alert_lines import SILENT_AFTER_S, contact_line
from monitor.bridges.targets import read_secret
from monitor.log_format import report_line
from monitor.run.events import WallReady, announce
from monitor.run.processes import interrupted_between_turns, stop_when_orphaned
from monitor.wall.access import Access
from monitor.wall.addresses import HttpAddress, host_name
from monitor.wall.app import LONGEST_MESSAGE, make_app
from monitor.wall.hours import hours_in
from monitor.wall.token import Token
from monitor.wall.viewers import MAX_VIEWERS, Wall
from pipeline.client import Subscriber
from pipeline.errors import ConfigError, EndpointError
from pipeline.transport.curve import ClientKeys

_TOPICS: Final = ("status/", "system", "trend/")
_SIGNAL: Final = "signal/"
"""Followed while a viewer shows any: the hub makes none for nobody."""
_RECEIVE_S: Final = 0.25
_CONNECTIONS: Final = 2 * MAX_VIEWERS + 32
_GOODBYE_S: Final = 1

_SEND_BUFFER: Final = 64 * 1024
"""Bytes on the way to a browser: of a slow one, some seconds."""

_STUCK_MS: Final = 30_000
"""The system ends a connection whose other end has taken nothing for so long."""


@dataclass(frozen=True, slots=True)
class WallOptions:
    """What the command line says of the server."""

    http: str
    token: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    names: tuple[str, ...] = ()
    log: Path | None = None
    """Log of the monitor, for the hours before this began."""


def run_wall(endpoint: str, options: WallOptions, *, keys: ClientKeys | None = None) -> None:
    """Serve the wall of a running monitor until told to stop; print one ``ready`` event.

    Args:
        endpoint: address of the alerts of a running monitor.
        options: where and to whom to serve.
        keys: for a monitor that asks for keys.

    Raises:
        ConfigError: an address, a certificate or their combination is refused.
        EndpointError: the address is in use, or the monitor refuses the keys.
        InputError: there is no such log.
        LogError: it cannot be read.
        KeysError: the token cannot be used.
        KeyboardInterrupt: Ctrl-C ended it.
    """
    with interrupted_between_turns(stop_when_orphaned(None)) as stop:
        serve_wall(endpoint, options, stop, keys=keys)


def serve_wall(
    endpoint: str,
    options: WallOptions,
    stop: Callable[[], bool],
    *,
    keys: ClientKeys | None = None,
    ready: Callable[[WallReady], None] = announce,
) -> None:
    """Serve until ``stop`` says so, which is asked ten times a second; raise as `run_wall` does."""
    address = HttpAddress.parse(options.http)
    tls = _tls(options)
    token = None if options.token is None else Token.load(options.token)
    if not address.loopback and (tls is None or token is None):
        raise ConfigError(
            f"{address} is reached from other machines: give --token, --tls-cert and --tls-key "
            "(docs/wall.md), or use 127.0.0.1"
        )
    names = frozenset(map(host_name, options.names))
    access = Access(token=token, loopback=address.loopback, tls=tls is not None, names=names)
    with (
        _bound(address) as listener,
        Subscriber(endpoint, topics=_TOPICS, keys=keys) as subscriber,
    ):
        wall = Wall(time.monotonic())
        if options.log is not None:  # once subscribed: no minute is missed in between
            wall.state.begin_with(*hours_in(options.log))
        config = uvicorn.Config(
            make_app(wall, access),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws_max_size=LONGEST_MESSAGE,
            ws_per_message_deflate=False,
            limit_concurrency=_CONNECTIONS,
            h11_max_incomplete_event_size=16 * 1024,
            timeout_graceful_shutdown=_GOODBYE_S,
        )
        config.load()
        if config.ws_protocol_class is None:  # uvicorn would serve a page that stays empty
            raise ModuleNotFoundError("no WebSocket", name="websockets")
        config.ws_protocol_class = _ending_once(config.ws_protocol_class)
        config.ssl = tls
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        port = listener.getsockname()[1]
        url = f"{'http' if tls is None else 'https'}://{address.shown_host}:{port}/"
        with _Feed(subscriber, endpoint, wall) as feed:
            server = _Server(config, lambda: stop() or feed.failure is not None)
            ready_event = WallReady(url=url, endpoint=endpoint)
            asyncio.run(_run(server, listener, feed, lambda: ready(ready_event)))
        if feed.failure is not None:
            raise feed.failure


async def _run(
    server: "_Server", listener: socket.socket, feed: "_Feed", ready: Callable[[], None]
) -> None:
    feed.start(asyncio.get_running_loop())
    ready()  # the socket listens: who connects now is served in a moment
    await server.serve([listener])


def _ending_once(protocol: type[Any]) -> type[Any]:
    """Return uvicorn's protocol of a WebSocket, made to end while the other side closes it.

    uvicorn 0.54 says goodbye to that as well; websockets refuses to, and the server fails. With TLS
    a connection closes for as long as the other side has not answered.
    """

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        self.socket = transport.get_extra_info("socket")
        protocol.connection_made(self, transport)

    def shutdown(self: Any) -> None:
        if not self.transport.is_closing():
            protocol.shutdown(self)
            return
        with contextlib.suppress(OSError):  # it has gone
            self.socket.shutdown(socket.SHUT_RDWR)

    own = {"connection_made": connection_made, "shutdown": shutdown}
    return type(protocol.__name__, (protocol,), own)


class _Server(uvicorn.Server):
    """A server that ends when ``stop`` says so, and leaves the signals to us."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], bool]) -> None:
        super().__init__(config)
        self._stop = stop

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end; called ten times a second."""
        self.should_exit = self.should_exit or self._stop()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them as they are."""
        yield


class _Feed:
    """The thread that receives from the hub; a context manager that ends it."""

    def __init__(self, subscriber: Subscriber, endpoint: str, wall: Wall) -> None:
        self._subscriber = subscriber
        self._endpoint = endpoint
        self._wall = wall
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None
        """Why it ended by itself."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to hand messages to ``loop``."""
        self._thread = threading.Thread(target=self._run, args=(loop,), name="wall-feed")
        self._thread.start()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            silent = False
            while not self._ending.is_set():
                self._subscriber.follow([*_TOPICS, *[_SIGNAL] * self._wall.signal_wanted])
                messages = list(self._subscriber.receive(_RECEIVE_S))
                if messages:
                    with contextlib.suppress(RuntimeError):  # the loop has ended
                        loop.call_soon_threadsafe(self._wall.take, messages, time.monotonic())
                if silent != (self._subscriber.silent_s > SILENT_AFTER_S):
                    silent = not silent
                    before = self._subscriber.heartbeats > 0
                    line = contact_line(self._endpoint, silent=silent, before=before)
                    report_line(f"monitor: {line}", logging.WARNING)
        except Exception as error:
            self.failure = error

    def __enter__(self) -> "_Feed":
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join()


@contextlib.contextmanager
def _bound(address: HttpAddress) -> Iterator[socket.socket]:
    """Listen at an address."""
    try:
        listener = socket.create_server((address.host, address.port), family=address.family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise EndpointError(f"{address} is in use: choose another with --http") from None
        raise EndpointError(f"cannot listen at {address}: {error.strerror}") from None
    with listener:
        # Connections inherit both.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_MS)
        yield listener


def _tls(options: WallOptions) -> ssl.SSLContext | None:
    """Return the settings of TLS; None where there is no certificate.

    Raises:
        ConfigError: one of the two files is missing, open to others, or no such file.
    """
    certificate, key = options.certificate, options.certificate_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("--tls-cert and --tls-key go together: a certificate, and its key")
    read_secret(key, 64 * 1024)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM").lower().replace("_", " ")
        raise ConfigError(
            f"{certificate} and {key} are no certificate with its key, without a passphrase: "
            f"{reason}"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {certificate}: {error}") from None
    return context
