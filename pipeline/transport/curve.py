"""Key pairs of CURVE, the encryption of ZeroMQ: make, check, set on a socket, try.

A key is 40 characters of Z85. A client must know the public key of the server, and presents a key
of its own, which `pipeline.transport.auth` looks up. Secrets never appear in a text: the classes
that hold them hide them from `repr`.
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
"""Monitor events of a connecting socket that the server does not accept."""

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
    """What a client needs: its own key, and the public key of the hub."""

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


def require_keys(socket: "zmq.Socket[bytes]", own: KeyPair, domain: str) -> None:
    """Make a socket that will bind ask for keys. The three settings only protect together.

    Without the domain libzmq asks no ZAP handler about a key; without the enforcement it accepts
    every key without a ZAP handler.
    """
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret.encode("ascii"))
    socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def present_keys(socket: "zmq.Socket[bytes]", keys: ClientKeys) -> None:
    """Make a socket that will connect present its key, and demand that of the hub."""
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.own.secret.encode("ascii"))
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.own.public.encode("ascii"))
    socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server.encode("ascii"))


def is_final_refusal(event: Mapping[str, Any]) -> bool:
    """Say whether an event of `HANDSHAKE_EVENTS` means that it is useless to try again.

    Then the key was refused, or one end uses keys and the other does not. Any other event may
    concern another program's connection to the port of a hub that is being started again.
    """
    return bool(
        event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH
        or event["value"] == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
    )


def try_key(
    endpoint: str, kind: int, keys: ClientKeys, timeout_s: float, stop: Callable[[], bool]
) -> bool | None:
    """Try a key on a bound socket.

    Args:
        endpoint: where it is bound.
        kind: of the socket to connect with; it has to fit the other end.
        keys: what to present.
        timeout_s: how long to wait for a verdict.
        stop: asked while waiting; once true, there is no verdict.

    Returns:
        Whether the key was accepted; None without a verdict in time.
    """
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 2_000)
    present_keys(socket, keys)
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
