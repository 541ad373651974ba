"""Who may connect: keys on the access list, on their sockets, while they are on the list."""

import errno
import logging
import threading
import time

import pytest
import zmq

from pipeline.errors import AuthenticationError, ConfigError, EndpointError
from pipeline.transport import curve
from pipeline.transport.access_list import ALERTS, CONTROL, INGEST, REPLAY, WORK
from pipeline.transport.auth import Authenticator
from pipeline.transport.curve import ClientKeys, KeyPair, new_pair, try_key
from pipeline.transport.sockets import Dealer, Publisher, Router, Subscription, wait
from tests.support.keys import ANY, KeyRing, arrives, deliver, until
from tests.support.limits import BUSY_S, promised

SOON_S = 1.0
"""Within which a revocation has to work, and a key has to be served again."""

RIGHTS = {
    "source": {"streams": ("ward3-*",)},
    "scorer": {"score": True},
    "watcher": {"subscribe": True},
    "nurse": {"control": True},
}
ENTERS = {
    "source": {INGEST},
    "scorer": {WORK},
    "watcher": {ALERTS, REPLAY, CONTROL},
    "nurse": {CONTROL},
}


def admitted(endpoint: str, keys: ClientKeys, kind: int = zmq.DEALER) -> bool:
    """Say whether a key gets through the handshake."""
    return bool(try_key(endpoint, kind, keys, 5.0, lambda: False))


@pytest.mark.parametrize("name", RIGHTS)
def test_a_key_is_accepted_by_the_sockets_of_its_rights_and_no_other(
    key_ring: KeyRing, name: str
) -> None:
    """Each right opens its own sockets; the handshake itself fails at the others."""
    keys = key_ring.allowed_key(name, **RIGHTS[name])
    names = (INGEST, WORK, REPLAY, CONTROL)
    with key_ring.auth() as auth:
        opened = set()
        for socket_name in names:
            with Router(ANY, auth=auth, socket_name=socket_name) as router:
                opened |= {socket_name} if admitted(router.endpoint, keys) else set()
        with Publisher(ANY, auth=auth, socket_name=ALERTS) as publisher:
            opened |= {ALERTS} if admitted(publisher.endpoint, keys, zmq.SUB) else set()
    assert opened == ENTERS[name]


def test_messages_of_allowed_keys_arrive_with_their_key_and_are_answered(key_ring: KeyRing) -> None:
    """The hub learns whose message it is from the connection, and what that key may."""
    keys = key_ring.allowed_key("source", **RIGHTS["source"])
    with (
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        Dealer(router.endpoint, keys=keys) as source,
    ):
        deliver(source, b"chunk")
        wait([router], BUSY_S)
        ((peer, frame),) = router.receive()
        assert frame == b"chunk"
        assert peer.user == keys.own.public
        assert peer.rights.may_send("ward3-7")
        assert not peer.rights.may_send("ward4-7")
        assert router.send(peer, b"accepted")
        wait([source], BUSY_S)
        assert list(source.receive()) == [b"accepted"]


@pytest.mark.parametrize("kind", ["random key", "no key"])
def test_unknown_keys_get_an_error(key_ring: KeyRing, kind: str) -> None:
    """A key that is not on the list, and none at all, is an error in one line, not a silence."""
    keys = ClientKeys(new_pair(), key_ring.hub.public) if kind == "random key" else None
    with (
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        Dealer(router.endpoint, keys=keys) as stranger,
    ):
        with pytest.raises(EndpointError) as raised:
            deliver(stranger, b"forged")
        assert "keys list" in str(raised.value) or "--server-key" in str(raised.value)
        assert "\n" not in str(raised.value)
        assert not arrives(router, b"forged", 0.1)


def test_the_wrong_key_of_the_hub_is_an_error(
    key_ring: KeyRing, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program in the hub's place learns nothing; the client logs why it waits."""
    own = key_ring.allowed_key("source", **RIGHTS["source"]).own
    with (
        caplog.at_level(logging.WARNING),
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        Dealer(router.endpoint, keys=ClientKeys(own, new_pair().public)) as source,
    ):

        def said() -> bool:
            wait([source], 0.1)
            return not list(source.receive()) and "--server-key" in caplog.text

        until(said)
        assert not source.send(b"chunk")


@promised(SOON_S)
def test_a_revoked_key_sends_nothing_more_on_its_open_connection(
    key_ring: KeyRing, limit_s: float
) -> None:
    """Within a second of the revocation nothing is taken from it, and nothing sent to it."""
    keys = key_ring.allowed_key("source", **RIGHTS["source"])
    key_ring.allowed_key("other", **RIGHTS["source"])
    with (
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        Dealer(router.endpoint, keys=keys) as source,
        Dealer(router.endpoint, keys=key_ring.store.client("other", "hub")) as other,
    ):
        deliver(source, b"before")
        wait([router], BUSY_S)
        ((peer, _),) = router.receive()
        key_ring.revoke("source")
        revoked_at = last_taken_at = time.monotonic()

        def refused() -> bool:
            nonlocal last_taken_at
            assert source.send(b"more")
            wait([router], 0.05)
            if list(router.receive()):
                last_taken_at = time.monotonic()
            return router.rejected > 0

        until(refused)
        assert last_taken_at - revoked_at < limit_s
        taken_at = last_taken_at
        assert all(refused() for _ in range(10))
        assert last_taken_at == taken_at
        assert not router.send(peer, b"accepted")
        deliver(other, b"still here")
        assert arrives(router, b"still here")


@promised(SOON_S)
def test_a_key_whose_patterns_change_has_its_new_rights_within_a_second(
    key_ring: KeyRing, limit_s: float
) -> None:
    """The list is asked for every message, not once a connection."""
    keys = key_ring.allowed_key("source", streams=("a",))
    with (
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        Dealer(router.endpoint, keys=keys) as source,
    ):
        key_ring.allow("source", streams=("b",))
        changed_at = time.monotonic()

        def changed() -> bool:
            deliver(source, b"chunk")
            wait([router], 0.05)
            rights = [peer.rights for peer, _ in router.receive()]
            return bool(rights) and rights[-1].may_send("b") and not rights[-1].may_send("a")

        until(changed)
        assert time.monotonic() - changed_at < limit_s


@promised(SOON_S)
def test_a_revoked_subscriber_receives_nothing_more_and_the_others_do(
    key_ring: KeyRing, limit_s: float
) -> None:
    """Its connection is ended within a second with a reason; the others reconnect."""
    revoked_keys = key_ring.allowed_key("gone", subscribe=True)
    stays_keys = key_ring.allowed_key("stays", subscribe=True)
    with (
        key_ring.auth() as auth,
        Publisher(ANY, auth=auth, socket_name=ALERTS) as publisher,
        Subscription(publisher.endpoint, [""], keys=revoked_keys) as revoked,
        Subscription(publisher.endpoint, [""], keys=stays_keys) as stays,
    ):
        endpoint = publisher.endpoint
        got: dict[Subscription, list[bytes]] = {revoked: [], stays: []}
        arrived_at = dict.fromkeys(got, 0.0)

        def delivered(body: bytes, *listeners: Subscription) -> bool:
            publisher.publish("alert/1", body)
            wait(listeners, 0.05)
            for listener in listeners:
                texts = [text for _, text in listener.receive()]
                got[listener] += texts
                arrived_at[listener] = time.monotonic() if texts else arrived_at[listener]
            return all(body in got[listener] for listener in listeners)

        until(lambda: delivered(b"before", revoked, stays))
        key_ring.revoke("gone")
        revoked_at = time.monotonic()
        with pytest.raises(EndpointError, match="refuses the key"):
            until(lambda: delivered(b"meanwhile", revoked) and False)
        assert arrived_at[revoked] - revoked_at < limit_s
        until(lambda: delivered(b"after", stays))
        assert publisher.endpoint == endpoint


def test_a_list_that_cannot_be_read_accepts_no_key_until_it_can(
    key_ring: KeyRing, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a readable list no key is accepted; a log line reports it, and it recovers."""
    keys = key_ring.allowed_key("source", **RIGHTS["source"])
    with (
        key_ring.auth() as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
        Dealer(router.endpoint, keys=keys) as source,
    ):
        deliver(source, b"before")
        assert arrives(router, b"before")
        path = key_ring.store.folder / "allowed"
        good = path.read_text()
        path.write_text(good[:-20])
        until(lambda: not auth.rights(keys.own.public).streams)
        deliver(source, b"meanwhile")
        assert not arrives(router, b"meanwhile", 0.2)
        assert "damaged" in caplog.text
        path.write_text(good)
        until(lambda: bool(auth.rights(keys.own.public).streams))
        deliver(source, b"after")
        assert arrives(router, b"after")


@promised(SOON_S)
def test_a_fault_in_the_zap_handler_costs_a_handshake_and_not_its_thread(
    key_ring: KeyRing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit_s: float,
) -> None:
    """After a hundred faults a good key is served within a second, and the end takes two."""
    keys = key_ring.allowed_key("source", **RIGHTS["source"])
    faults = 0
    with key_ring.auth() as auth, Router(ANY, auth=auth, socket_name=INGEST) as router:
        handler, authenticate = auth._zap_handler, auth._authenticate

        def fail(request: list[bytes]) -> tuple[bytes, bytes, bytes]:
            nonlocal faults
            faults += 1
            if faults > 100:
                return authenticate(request)
            raise RuntimeError("planted")

        monkeypatch.setattr(auth, "_authenticate", fail)
        victims = [Dealer(router.endpoint, keys=keys) for _ in range(100)]
        try:
            until(lambda: faults >= 100 or bool(threading.Event().wait(0.01)))
            began = time.monotonic()
            with Dealer(router.endpoint, keys=keys) as good:
                deliver(good, b"served")
                assert arrives(router, b"served")
            assert time.monotonic() - began < limit_s
            auth.check()
            assert auth._zap_handler is handler
            # Those who met the fault are let in when they try again.
            deliver(victims[0], b"in the end")
            assert arrives(router, b"in the end")
        finally:
            for victim in victims:
                victim.close(linger_ms=0)
        began = time.monotonic()
        auth.close()
        assert time.monotonic() - began < 2 * limit_s
    assert "planted" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_zap_handler_accepts_no_key_and_is_replaced(
    key_ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one even good keys wait; the next `check` starts another."""
    keys = key_ring.allowed_key("source", **RIGHTS["source"])
    stranger = ClientKeys(new_pair(), key_ring.hub.public)
    with key_ring.auth() as auth, Router(ANY, auth=auth, socket_name=INGEST) as router:

        def die(desk: object) -> None:
            raise SystemExit

        with monkeypatch.context() as planted:
            planted.setattr(auth, "_reply", die)
            assert not try_key(router.endpoint, zmq.DEALER, keys, 0.3, lambda: False)
            auth._zap_handler.join(BUSY_S)
        assert not auth._zap_handler.is_alive()
        assert not try_key(router.endpoint, zmq.DEALER, stranger, 0.3, lambda: False)
        auth.check()
        assert auth._zap_handler.is_alive()
        assert admitted(router.endpoint, keys)
        assert not admitted(router.endpoint, stranger)


def test_the_self_test_passes_sockets_that_ask_for_keys(key_ring: KeyRing) -> None:
    """All sockets are tested at the start, on every address at once."""
    with (
        key_ring.auth() as auth,
        Publisher("tcp://0.0.0.0:0", auth=auth, socket_name=ALERTS) as alerts,
        Router(ANY, auth=auth, socket_name=INGEST) as ingest,
        Router(ANY, auth=auth, socket_name=WORK) as work,
    ):
        auth.watch({ALERTS: alerts.endpoint, INGEST: ingest.endpoint, WORK: work.endpoint})
        auth.check()


def open_router(kind: str, own: KeyPair, endpoint: str = ANY) -> "zmq.Socket[bytes]":
    """Return a bound socket with one of the mistakes of the table."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    if kind != "no curve":
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret.encode())
    if kind == "enforced":
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    if kind in ("domain", "both"):
        socket.setsockopt_string(zmq.ZAP_DOMAIN, "ecg.ingest")
    if kind == "both":
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        socket.close()
        raise
    return socket


@pytest.mark.parametrize(
    ("kind", "handler", "open_to_strangers"),
    [
        ("curve", False, True),
        ("domain", False, True),
        ("both", False, False),
        ("enforced", True, True),
        ("both", True, False),
        ("domain", True, False),
    ],
)
def test_libzmq_lets_strangers_in_unless_all_three_are_set(
    key_ring: KeyRing, kind: str, handler: bool, open_to_strangers: bool
) -> None:
    """Why `curve.require_keys` sets them together: without one, a fault admits everybody."""
    stranger = ClientKeys(new_pair(), key_ring.hub.public)
    auth = Authenticator(key_ring.hub, key_ring.store) if handler else None
    socket = open_router(kind, key_ring.hub)
    try:
        endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        assert (
            bool(try_key(endpoint, zmq.DEALER, stranger, 0.5, lambda: False)) == open_to_strangers
        )
    finally:
        socket.close()
        if auth is not None:
            auth.close()


def test_libzmq_lets_a_plain_peer_in_where_curve_was_forgotten(key_ring: KeyRing) -> None:
    """A ZAP handler alone protects nothing; our sockets with one always ask for keys."""
    with key_ring.auth() as auth, Router(ANY, auth=auth, socket_name=INGEST) as ours:
        forgotten = open_router("no curve", key_ring.hub)
        plain = [zmq.Context.instance().socket(zmq.DEALER) for _ in range(2)]
        try:
            for socket, endpoint in zip(
                plain,
                (forgotten.getsockopt_string(zmq.LAST_ENDPOINT), ours.endpoint),
                strict=True,
            ):
                socket.setsockopt(zmq.LINGER, 0)
                socket.connect(endpoint)
                socket.send(b"forged", zmq.DONTWAIT)
            assert forgotten.poll(1e3 * BUSY_S)
            assert not arrives(ours, b"forged", 0.2)
        finally:
            for socket in (forgotten, *plain):
                socket.close()


def test_a_zap_handler_that_stops_leaves_the_socket_closed(key_ring: KeyRing) -> None:
    """A socket that outlives its authenticator refuses unknown and good keys alike."""
    keys = key_ring.allowed_key("source", **RIGHTS["source"])
    with key_ring.auth() as auth:
        router = Router(ANY, auth=auth, socket_name=INGEST)
        assert admitted(router.endpoint, keys)
    try:
        for presented in (keys, ClientKeys(new_pair(), key_ring.hub.public)):
            assert not try_key(router.endpoint, zmq.DEALER, presented, 0.3, lambda: False)
    finally:
        router.close()


@promised(SOON_S)
def test_a_key_file_that_is_deleted_changes_nothing_and_the_list_decides(
    key_ring: KeyRing, limit_s: float
) -> None:
    """Access hangs on the list alone, so that there is one place to look and one to change."""
    keys = key_ring.allowed_key("source", **RIGHTS["source"])
    with key_ring.auth() as auth, Router(ANY, auth=auth, socket_name=INGEST) as router:
        (key_ring.store.folder / "source.public").unlink()
        assert admitted(router.endpoint, keys)
        key_ring.revoke("source")
        until(lambda: not admitted(router.endpoint, keys), limit_s)


def test_the_self_test_finds_an_open_socket(key_ring: KeyRing) -> None:
    """A socket that lets a random key in ends the start, with one line that names it."""
    with key_ring.auth() as auth:
        socket = open_router("enforced", key_ring.hub)
        try:
            endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
            with pytest.raises(AuthenticationError, match=endpoint):
                auth.watch({INGEST: endpoint})
        finally:
            socket.close()


def test_a_socket_that_opens_later_is_found_by_the_next_self_test(key_ring: KeyRing) -> None:
    """The self-test goes on while the hub runs, and `check` raises what it found."""
    with key_ring.auth(self_test_every_s=0.05) as auth:
        router = Router(ANY, auth=auth, socket_name=INGEST)
        endpoint = router.endpoint
        auth.watch({INGEST: endpoint})
        auth.check()
        router.close(linger_ms=0)
        opened: list[zmq.Socket[bytes]] = []

        def open_another() -> bool:
            try:
                opened.append(open_router("enforced", key_ring.hub, endpoint))
            except zmq.ZMQError:  # the other one still has it, for some milliseconds
                return False
            return True

        until(open_another)

        def found() -> bool:
            try:
                auth.check()
            except AuthenticationError:
                return True
            return bool(threading.Event().wait(0.02))

        try:
            until(found)
        finally:
            opened[0].close(linger=0)
        with pytest.raises(AuthenticationError, match="accepted an unknown key"):
            auth.check()


def test_a_socket_that_accepts_no_key_is_found_too(
    key_ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that refuses the key it must accept is as good as dead, and ends."""
    with key_ring.auth() as auth, Router(ANY, auth=auth, socket_name=INGEST) as router:
        monkeypatch.setattr(auth, "_authenticate", lambda request: (b"400", b"no", b""))
        with pytest.raises(AuthenticationError, match="accepts no key"):
            auth.watch({INGEST: router.endpoint})


def test_two_authenticators_in_one_process_are_refused(key_ring: KeyRing) -> None:
    """Of two, libzmq would ask one only; after the first has ended there can be another."""
    with key_ring.auth(), pytest.raises(AuthenticationError), key_ring.auth():
        pass
    with key_ring.auth():
        pass


def test_addresses_off_loopback_are_free_with_keys_alone(key_ring: KeyRing) -> None:
    """Keys open every address to a hub, and no keys none."""
    keys = ClientKeys(new_pair(), key_ring.hub.public)
    with key_ring.auth() as auth:
        with Router("tcp://0.0.0.0:0", auth=auth, socket_name=INGEST) as router:
            assert router.endpoint.startswith("tcp://0.0.0.0:")
        with Dealer("tcp://hub.example:5573", keys=keys) as dealer:
            assert not dealer.send(b"x")
    for refused in ("tcp://0.0.0.0:0", "tcp://hub.example:5573"):
        with pytest.raises(ConfigError, match="keys"):
            Dealer(refused)
    with pytest.raises(ConfigError):
        Dealer("tcp://eth0;127.0.0.1:5573", keys=keys)


def test_a_self_test_that_could_not_be_made_is_repeated(
    key_ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors for a moment, say. A self-test that has stopped is an error."""
    with (
        key_ring.auth(self_test_every_s=0.02) as auth,
        Router(ANY, auth=auth, socket_name=INGEST) as router,
    ):
        auth.watch({INGEST: router.endpoint})
        made: list[int] = []

        def failing(*_: object) -> bool:
            made.append(1)
            raise zmq.ZMQError(errno.EMFILE)

        with monkeypatch.context() as patched:
            patched.setattr(curve, "try_key", failing)
            until(lambda: len(made) > 2 or bool(threading.Event().wait(0.01)))
            auth.check()

        def dying(*_: object) -> bool:
            raise MemoryError

        with monkeypatch.context() as patched:
            patched.setattr(curve, "try_key", dying)
            patched.setattr(threading, "excepthook", lambda _: None)
            assert auth._self_tests is not None
            auth._self_tests.join(BUSY_S)
            with pytest.raises(AuthenticationError, match="self-test of the sockets has stopped"):
                auth.check()
