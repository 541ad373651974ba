"""Authentication: who may connect to the hub, by key, and what each message may do.

Three parts protect the sockets, and each holds when another fails:

* The *ZAP handler* answers libzmq's question whether a key is accepted. A fault of ours in it costs
  one handshake; should its thread die, `Authenticator.check` starts another.
* The *access list* (`pipeline.transport.access_list`) is asked again for every message, so a key
  that is revoked sends nothing more although its connection stays.
* The *self-test* presents a random key and one that must be accepted to every socket, at start and
  each minute. If the first is accepted, or the second is not, the hub ends.

libzmq has one ZAP handler a process, so there is one `Authenticator` a process at a time.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Self

import zmq

from pipeline.errors import AuthenticationError
from pipeline.transport import curve
from pipeline.transport.access_list import ALERTS, LiveAccessList, Rights
from pipeline.transport.curve import ClientKeys, KeyPair
from pipeline.transport.keystore import KeyStore

logger = logging.getLogger(__name__)

_ADDRESS: Final = "inproc://zeromq.zap.01"
_DOMAIN: Final = "ecg."
_ASK_STOP_MS: Final = 200
_VERDICT_S: Final = 3.0
_ATTEMPTS: Final = 3
"""Tests without a verdict before that is a fault: the machine may be busy with other things."""


class Authenticator:
    """Accepts or refuses keys for the sockets of one hub; runs two threads."""

    def __init__(
        self,
        own: KeyPair,
        store: KeyStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        self_test_every_s: float = 60.0,
    ) -> None:
        """Read the access list and start the ZAP handler.

        Raises:
            KeysError: the list cannot be read.
            AuthenticationError: this process already has an authenticator.
        """
        self._own = own
        self._access_list = LiveAccessList(store, clock)
        self._self_test_every_s = self_test_every_s
        self._test_key = curve.new_pair()
        """Accepted everywhere and without any rights: for the self-test."""
        self._stop = threading.Event()
        self._failure = ""
        self._self_tests: threading.Thread | None = None
        self._zap_handler = self._start_zap_handler()

    def require_keys(self, socket: "zmq.Socket[bytes]", socket_name: str) -> None:
        """Make a socket that will be bound as the hub's ``socket_name`` ask for keys."""
        curve.require_keys(socket, self._own, _DOMAIN + socket_name)

    def rights(self, public: str) -> Rights:
        """Return what a key may do now."""
        return self._access_list.rights(public)

    def subscribers(self) -> frozenset[str]:
        """Return the keys that may subscribe now."""
        return self._access_list.subscribers()

    def watch(self, sockets: Mapping[str, str]) -> None:
        """Test every socket, now and then each minute; ``sockets`` are the addresses by name.

        Raises:
            AuthenticationError: one accepts an unknown key, or refuses one that it must accept.
        """
        sockets = {name: _from_here(endpoint) for name, endpoint in sockets.items()}
        self._test_all(sockets)
        self._self_tests = threading.Thread(
            target=self._keep_testing, args=(sockets,), name="auth-self-test", daemon=True
        )
        self._self_tests.start()

    def check(self) -> None:
        """Start another ZAP handler if the last one died; call it several times a second.

        Raises:
            AuthenticationError: the latest self-test failed.
        """
        if self._failure:
            raise AuthenticationError(self._failure)
        if self._self_tests is not None and not self._self_tests.is_alive():
            raise AuthenticationError("the self-test of the sockets has stopped: start again")
        if not self._zap_handler.is_alive():
            logger.error("the thread that checks keys died; another was started")
            self._zap_handler = self._start_zap_handler()

    def close(self) -> None:
        """End the threads; sockets that are still bound accept no key from now on."""
        self._stop.set()
        self._zap_handler.join()
        if self._self_tests is not None:
            self._self_tests.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- the ZAP handler --------------------------------------------------------------------

    def _start_zap_handler(self) -> threading.Thread:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        try:
            socket.bind(_ADDRESS)
        except zmq.ZMQError:
            socket.close()
            raise AuthenticationError(
                "two hubs with keys in one process: start another process"
            ) from None
        # The thread takes the socket over; starting it is the memory barrier that ZeroMQ asks for.
        handler = threading.Thread(
            target=self._serve, args=(socket,), name="zap-handler", daemon=True
        )
        handler.start()
        return handler

    def _serve(self, socket: "zmq.Socket[bytes]") -> None:
        try:
            while not self._stop.is_set():
                if socket.poll(_ASK_STOP_MS):
                    self._reply(socket)
        finally:
            # Frees the name at once; closing alone leaves it taken for a while.
            socket.unbind(_ADDRESS)
            socket.close()

    def _reply(self, socket: "zmq.Socket[bytes]") -> None:
        question = socket.recv_multipart()
        try:
            status, text, user = self._authenticate(question[2:])
        except Exception:
            # 300 means try again; after 400 and 500 libzmq's clients never do.
            logger.exception("a key could not be checked")
            status, text, user = b"300", b"try again", b""
        socket.send_multipart([*question[:4], status, text, user, b""])

    def _authenticate(self, request: list[bytes]) -> tuple[bytes, bytes, bytes]:
        """Return status, text and user of a request: version, number, domain, and so on."""
        _, _, domain, _, _, mechanism, *credentials = request
        socket_name = domain.decode("ascii").removeprefix(_DOMAIN)
        if mechanism != b"CURVE" or len(credentials) != 1 or len(credentials[0]) != 32:
            return b"400", b"no key", b""
        user = curve.key_of(credentials[0])
        if self._is_accepted(user, socket_name):
            return b"200", b"OK", user.encode("ascii")
        if self._access_list.fault:
            return b"300", b"try again", b""
        logger.info("refused at %s: %s", socket_name, user)
        return b"400", b"not allowed", b""

    def _is_accepted(self, user: str, socket_name: str) -> bool:
        return user == self._test_key.public or self._access_list.rights(user).may_use(socket_name)

    # --- the self-test ----------------------------------------------------------------------

    def _keep_testing(self, sockets: Mapping[str, str]) -> None:
        while not self._stop.wait(self._self_test_every_s):
            try:
                self._test_all(sockets)
            except AuthenticationError as error:
                self._failure = str(error)
                return
            except zmq.ZMQError as error:  # out of descriptors, say; the next test may succeed
                logger.warning("the sockets could not be tested: %s", error)

    def _test_all(self, sockets: Mapping[str, str]) -> None:
        stopped = self._stop.is_set
        for name, endpoint in sockets.items():
            kind = zmq.SUB if name == ALERTS else zmq.DEALER
            unknown = ClientKeys(curve.new_pair(), self._own.public)
            if curve.try_key(endpoint, kind, unknown, _VERDICT_S, stopped):
                raise AuthenticationError(
                    f"{endpoint} ({name}) accepted an unknown key: "
                    "stopped; is this another program's socket?"
                )
            known = ClientKeys(self._test_key, self._own.public)
            for _ in range(_ATTEMPTS):
                if curve.try_key(endpoint, kind, known, _VERDICT_S, stopped) or stopped():
                    break
            else:
                raise AuthenticationError(
                    f"{endpoint} ({name}) accepts no key any more: start again"
                )


def _from_here(endpoint: str) -> str:
    """Return the address under which something bound to ``endpoint`` is reached from here."""
    return endpoint.replace("//0.0.0.0:", "//127.0.0.1:")
