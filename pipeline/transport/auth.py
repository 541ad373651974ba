"""Who gets into the hub: keys are asked for at the door, and what they may do at every message.

Three things that each hold when another fails. The *porter* answers libzmq's question about a key
(ZAP); a fault of ours in there costs one handshake, never the porter, and `Authenticator.check`
puts another in its place should it die. The *list* (`pipeline.transport.access_list`) is asked
again for every message, so a key that is revoked sends nothing more although its connection stands.
The
*trial* shows every socket a key that nobody knows, at the start and each minute, and one that it
must know: a guard that lets the first in, or the second not, ends the hub.

libzmq has one porter a process, so there is one `Authenticator` a process at a time.
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
"""Trials without a verdict, on a machine that has other things to do, before it is a fault."""


class Authenticator:
    """The door of a hub: its key, who is allowed, and the threads that see to it."""

    def __init__(
        self,
        own: KeyPair,
        store: KeyStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        trial_every_s: float = 60.0,
    ) -> None:
        """Read the list of those allowed, and post the porter.

        Raises:
            KeysError: the list cannot be read.
            GuardError: there is a guard in this process already.
        """
        self._own = own
        self._allowed = LiveAccessList(store, clock)
        self._trial_every_s = trial_every_s
        self._known = curve.new_pair()
        """Let in everywhere and allowed nothing: what the trial shows to a good porter."""
        self._stop = threading.Event()
        self._failure = ""
        self._trials: threading.Thread | None = None
        self.porters = 0
        """How many there have been; more than one is worth a look into the log."""
        self._porter = self._post()

    def lock(self, socket: "zmq.Socket[bytes]", door: str) -> None:
        """Put the lock on a socket that will be bound as the hub's ``door``."""
        curve.lock(socket, self._own, _DOMAIN + door)

    def rights(self, public: str) -> Rights:
        """Return what a key may do now."""
        return self._allowed.rights(public)

    def readers(self) -> frozenset[str]:
        """Return the keys that may subscribe now."""
        return self._allowed.readers()

    def watch(self, doors: Mapping[str, str]) -> None:
        """Try every door, now and then each minute; ``doors`` are the addresses by name.

        Raises:
            GuardError: one lets a stranger in, or not even a key that it knows.
        """
        doors = {name: _from_here(endpoint) for name, endpoint in doors.items()}
        self._try_all(doors)
        self._trials = threading.Thread(
            target=self._keep_trying, args=(doors,), name="guard-trials", daemon=True
        )
        self._trials.start()

    def check(self) -> None:
        """See after the porter; call it several times a second.

        Raises:
            GuardError: the latest trial failed.
        """
        if self._failure:
            raise AuthenticationError(self._failure)
        if self._trials is not None and not self._trials.is_alive():
            raise AuthenticationError("nobody tries the doors any more: start again")
        if not self._porter.is_alive():
            logger.error("the thread that asks for keys died, another takes its place")
            self._porter = self._post()

    def close(self) -> None:
        """End the threads; sockets that are still bound let nobody in from now on."""
        self._stop.set()
        self._porter.join()
        if self._trials is not None:
            self._trials.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- the porter -----------------------------------------------------------------------

    def _post(self) -> threading.Thread:
        desk: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        desk.setsockopt(zmq.LINGER, 0)
        try:
            desk.bind(_ADDRESS)
        except zmq.ZMQError:
            desk.close()
            raise AuthenticationError(
                "two hubs with keys in one process: start another process"
            ) from None
        self.porters += 1
        # The thread takes the socket over; a full fence lies between, for it starts afterwards.
        porter = threading.Thread(target=self._serve, args=(desk,), name="guard", daemon=True)
        porter.start()
        return porter

    def _serve(self, desk: "zmq.Socket[bytes]") -> None:
        try:
            while not self._stop.is_set():
                if desk.poll(_ASK_STOP_MS):
                    self._answer(desk)
        finally:
            # At once, where closing alone would leave the name taken for a while.
            desk.unbind(_ADDRESS)
            desk.close()

    def _answer(self, desk: "zmq.Socket[bytes]") -> None:
        question = desk.recv_multipart()
        try:
            status, text, user = self._judge(question[2:])
        except Exception:
            # 300: try again. After 400 and 500 libzmq's clients never do.
            logger.exception("a key could not be judged")
            status, text, user = b"300", b"try again", b""
        desk.send_multipart([*question[:4], status, text, user, b""])

    def _judge(self, request: list[bytes]) -> tuple[bytes, bytes, bytes]:
        """Return status, text and user of a request: version, number, domain, and so on."""
        _, _, domain, _, _, mechanism, *credentials = request
        door = domain.decode("ascii").removeprefix(_DOMAIN)
        if mechanism != b"CURVE" or len(credentials) != 1 or len(credentials[0]) != 32:
            return b"400", b"no key", b""
        user = curve.key_of(credentials[0])
        if self._may_enter(user, door):
            return b"200", b"OK", user.encode("ascii")
        if self._allowed.fault:
            return b"300", b"try again", b""
        logger.info("refused at %s: %s", door, user)
        return b"400", b"not allowed", b""

    def _may_enter(self, user: str, door: str) -> bool:
        return user == self._known.public or self._allowed.rights(user).may_enter(door)

    # --- the trial ------------------------------------------------------------------------

    def _keep_trying(self, doors: Mapping[str, str]) -> None:
        while not self._stop.wait(self._trial_every_s):
            try:
                self._try_all(doors)
            except AuthenticationError as error:
                self._failure = str(error)
                return
            except zmq.ZMQError as error:  # no descriptors, say: the next one will tell
                logger.warning("the doors could not be tried: %s", error)

    def _try_all(self, doors: Mapping[str, str]) -> None:
        stopped = self._stop.is_set
        for name, endpoint in doors.items():
            kind = zmq.SUB if name == ALERTS else zmq.DEALER
            stranger = ClientKeys(curve.new_pair(), self._own.public)
            if curve.let_in(endpoint, kind, stranger, _VERDICT_S, stopped):
                raise AuthenticationError(
                    f"{endpoint} ({name}) let a key in that nobody knows: "
                    "stopped; is this another program's socket?"
                )
            known = ClientKeys(self._known, self._own.public)
            for _ in range(_ATTEMPTS):
                if curve.let_in(endpoint, kind, known, _VERDICT_S, stopped) or stopped():
                    break
            else:
                raise AuthenticationError(
                    f"{endpoint} ({name}) lets no key in any more: start again"
                )


def _from_here(endpoint: str) -> str:
    """Return where something bound to ``endpoint`` is found on this machine."""
    return endpoint.replace("//0.0.0.0:", "//127.0.0.1:")
