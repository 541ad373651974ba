"""Key pairs of CURVE, the encryption of ZeroMQ: made, checked, put on a socket, tried.

A key is 40 characters of Z85. Whoever connects must know the public key of the other end, and shows
a key of its own, which `pipeline.transport.auth` looks up. Secrets have no place in a text: their
owners hide them from `repr`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

KEY_CHARACTERS: Final = 40
HANDSHAKE_EVENTS: Final = int(
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
"""What a connecting socket hears when the other end does not let it in."""

_ASK_STOP_MS: Final = 100

_Z85: Final = (
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)
_VALUE: Final = {character: value for value, character in enumerate(_Z85)}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The two halves of a key."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a connecting end needs: its own key, and the public one of the hub."""

    own: KeyPair
    server: str


def is_key(text: str) -> bool:
    """Say whether ``text`` is 32 bytes in Z85."""
    if len(text) != KEY_CHARACTERS or any(character not in _VALUE for character in text):
        return False
    for at in range(0, KEY_CHARACTERS, 5):
        value = 0
        for character in text[at : at + 5]:
            value = 85 * value + _VALUE[character]
        if value >= 1 << 32:
            return False
    return True


def new_pair() -> KeyPair:
    """Return a new random key."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode("ascii"), secret.decode("ascii"))


def public_of(secret: str) -> str:
    """Return the public half that belongs to a secret."""
    return zmq.curve_public(secret.encode("ascii")).decode("ascii")


def key_of(raw: bytes) -> str:
    """Return the text of a key of 32 bytes."""
    return z85.encode(raw).decode("ascii")


def lock(socket: "zmq.Socket[bytes]", own: KeyPair, domain: str) -> None:
    """Make a socket that will bind ask for keys: the three settings, which only hold together.

    Without the domain libzmq asks nobody about a key, and without the enforcement it lets
    everybody in when nobody is there to be asked.
    """
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret.encode("ascii"))
    socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def show(socket: "zmq.Socket[bytes]", keys: ClientKeys) -> None:
    """Make a socket that will connect show its key, and demand that of the hub."""
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret.encode("ascii"))
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public.encode("ascii"))
    socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server.encode("ascii"))


def is_final(event: Mapping[str, Any]) -> bool:
    """Say whether an event of `HANDSHAKE_EVENTS` means that trying again is of no use.

    A key was refused, or one end knows of keys and the other does not. All else may be somebody
    else's connection to the port of a hub that is being started again.
    """
    return bool(
        event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH
        or event["value"] == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
    )


def let_in(
    endpoint: str, kind: int, keys: ClientKeys, timeout_s: float, stop: Callable[[], bool]
) -> bool | None:
    """Try a key on a bound socket.

    Args:
        endpoint: where it is bound.
        kind: of the socket to try with; it has to fit the other end.
        keys: what to show.
        timeout_s: how long to wait for a verdict.
        stop: asked while waiting; when it says so, there is no verdict.

    Returns:
        Whether the key was let in; None if neither was said in time.
    """
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 2_000)
    show(socket, keys)
    events = socket.get_monitor_socket(
        zmq.EVENT_HANDSHAKE_SUCCEEDED
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    )
    try:
        socket.connect(endpoint)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not stop():
            if events.poll(_ASK_STOP_MS):
                event = recv_monitor_message(events)["event"]
                return bool(event == zmq.EVENT_HANDSHAKE_SUCCEEDED)
        return None
    finally:
        socket.disable_monitor()
        events.close(linger=0)
        socket.close()
