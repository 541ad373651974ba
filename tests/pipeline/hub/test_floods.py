"""What somebody without a key can do to a hub with one: nothing that costs it anything.

The hub under attack is a process of its own with our sockets alone, so that its memory can be
read from outside. The attackers speak plain TCP.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import zmq

from pipeline.constants import MAX_STREAMS, MEASURES, WINDOW_SAMPLES
from pipeline.errors import EndpointError
from pipeline.hub.dispatch import DispatchConfig
from pipeline.schema.messages import ScoreRequest, encode
from pipeline.schema.public import encode_json
from pipeline.schema.requests import ALERTS_PER_PAGE
from pipeline.transport.curve import ClientKeys, new_pair
from pipeline.transport.sockets import Dealer, wait
from pipeline.transport.zmq_socket import DATA_FRAME_BYTES
from tests.support.hub_by_hand import chunk, hub_by_hand
from tests.support.keys import KeyRing, deliver
from tests.support.limits import BUSY_S, promised
from tests.support.zmtp import COMMAND, CURVE_GREETING, GREETING, LONG, frame, ready

pytestmark = pytest.mark.system

MIB = 1024 * 1024
GROWTH_BYTES = 64 * MIB

SERVER = """
import resource, sys
from pathlib import Path
from pipeline.transport.auth import Authenticator
from pipeline.transport.keystore import KeyStore
from pipeline.transport.sockets import Router, wait
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
store = KeyStore(Path(sys.argv[1]))
with Authenticator(store.pair("hub"), store) as auth, Router(
    "tcp://127.0.0.1:0", auth=auth, socket_name="ingest"
) as router:
    print(router.endpoint, flush=True)
    while True:
        wait([router], 0.5)
        auth.check()
        for peer, frame in router.receive():
            router.send(peer, b"accepted")
"""


class Victim:
    """A hub's socket with keys in a process, and a key that is accepted."""

    def __init__(self, endpoint: str, pid: int, keys: ClientKeys | None) -> None:
        self.endpoint = endpoint
        self.pid = pid
        self.keys = keys
        self.at = ("127.0.0.1", int(endpoint.rpartition(":")[2]))

    def peak(self) -> int:
        """Return the most memory that was ever in use."""
        words = Path(f"/proc/{self.pid}/status").read_text().split()
        return int(words[words.index("VmHWM:") + 1]) * 1024

    def serves(self, limit_s: float = BUSY_S) -> None:
        """Have a new client send a chunk and get its answer in time."""
        began = time.monotonic()
        with Dealer(self.endpoint, keys=self.keys) as client:
            deliver(client, b"chunk")
            wait([client], limit_s)
            assert list(client.receive()) == [b"accepted"]
        assert time.monotonic() - began < limit_s


@pytest.fixture
def victim(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Victim]:
    """Start a socket with keys in a process of its own; the parameter is its limit of files."""
    files = str(getattr(request, "param", 1024))
    key_ring = KeyRing(tmp_path)
    keys = key_ring.allowed_key("source", streams=("*",))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(key_ring.store.folder), files],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        victim = Victim(process.stdout.readline().strip(), process.pid, keys)
        victim.serves()
        yield victim
        assert process.poll() is None, "the hub died"
    finally:
        process.kill()
        process.communicate()


@contextmanager
def connected(victim: Victim) -> Iterator[socket.socket]:
    """Connect by TCP."""
    with socket.create_connection(victim.at, timeout=5.0) as peer:
        yield peer


def pour(peer: socket.socket, data: bytes, times: int) -> int:
    """Send ``data`` again and again until the other end has enough; return the bytes sent."""
    sent = 0
    with suppress(OSError):
        for _ in range(times):
            peer.sendall(data)
            sent += len(data)
    return sent


HELLO = bytes([COMMAND, 200]) + b"\x05HELLO" + b"\x01\x00" + bytes(72) + bytes(120)


@pytest.mark.parametrize(
    "opening",
    [
        GREETING + ready(b"Socket-Type", b"DEALER") + frame(b"", says=1 << 30),
        GREETING + frame(b"", says=1 << 30),
        CURVE_GREETING + frame(b"", says=1 << 30),
        CURVE_GREETING + bytes([COMMAND | LONG]) + (1 << 30).to_bytes(8, "big"),
        CURVE_GREETING + bytes([COMMAND | LONG]) + (1 << 62).to_bytes(8, "big"),
        CURVE_GREETING + HELLO,
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
    ],
    ids=["plain", "no ready", "frame", "command", "absurd", "false hello", "http", "no greeting"],
)
def test_a_gibibyte_from_a_peer_without_a_key_takes_no_memory(
    victim: Victim, opening: bytes
) -> None:
    """Announced or really sent: the connection is dropped, and the others are served."""
    before = victim.peak()
    for _ in range(8):
        with connected(victim) as peer:
            peer.sendall(opening)
            pour(peer, bytes(MIB), 128)
    assert victim.peak() - before < GROWTH_BYTES
    victim.serves()


def test_endless_parts_from_a_peer_without_a_key_take_no_memory(victim: Victim) -> None:
    """Frames that each say that more will follow get no further than the handshake."""
    before = victim.peak()
    part = frame(bytes(60_000), more=True)
    for opening in (GREETING + ready(b"Socket-Type", b"DEALER"), CURVE_GREETING, GREETING):
        with connected(victim) as peer:
            peer.sendall(opening)
            pour(peer, part, 5_000)
    assert victim.peak() - before < GROWTH_BYTES
    victim.serves()


@promised(3.0)
@pytest.mark.parametrize("victim", [128, 1024], indirect=True)
def test_500_silent_connections_do_not_keep_a_client_out(victim: Victim, limit_s: float) -> None:
    """A client is served within three seconds, even where fewer files may be open."""
    before = victim.peak()
    with ExitStack() as open_ones:
        for number in range(500):
            peer = open_ones.enter_context(connected(victim))
            peer.sendall((b"", GREETING[:10], CURVE_GREETING)[number % 3])
        victim.serves(limit_s)
    assert victim.peak() - before < GROWTH_BYTES


def test_200_random_keys_are_refused_while_a_client_is_served(victim: Victim) -> None:
    """Each costs a handshake; none of them gets a byte in."""
    before = victim.peak()
    strangers = [
        Dealer(victim.endpoint, keys=ClientKeys(new_pair(), victim.keys.server)) for _ in range(200)
    ]
    try:
        victim.serves()
        refused = 0
        deadline = time.monotonic() + BUSY_S
        waiting = list(strangers)
        while waiting and time.monotonic() < deadline:
            wait(waiting, 0.1)
            for stranger in list(waiting):
                assert not stranger.send(b"forged")
                try:
                    assert not list(stranger.receive())
                except EndpointError:
                    refused += 1
                    waiting.remove(stranger)
        assert refused == len(strangers)
    finally:
        for stranger in strangers:
            stranger.close(linger_ms=0)
    assert victim.peak() - before < GROWTH_BYTES


def test_an_oversize_frame_of_an_allowed_key_costs_it_the_connection(victim: Victim) -> None:
    """The limit holds behind the handshake as well; its next message comes by a new connection."""
    before = victim.peak()
    with Dealer(victim.endpoint, keys=victim.keys) as rude:
        deliver(rude, b"chunk")
        assert rude.send(bytes(DATA_FRAME_BYTES + 1))
        victim.serves()

        answers = 0
        deadline = time.monotonic() + BUSY_S
        while answers < 2 and time.monotonic() < deadline:
            rude.send(b"again")
            wait([rude], 0.1)
            answers += len(list(rude.receive()))
        assert answers >= 2
    assert victim.peak() - before < GROWTH_BYTES


LIMITED = """
import sys
from monitor.run.limits import set_hub_limits
from pipeline.transport.sockets import Router, wait
set_hub_limits(int(sys.argv[1]))
with Router("tcp://127.0.0.1:0") as router:
    print(router.endpoint, flush=True)
    while True:
        wait([router], 0.5)
        for peer, frame in router.receive():
            router.send(peer, b"accepted")
"""
LIMIT_BYTES = 256 * MIB


def test_endless_parts_from_an_accepted_peer_end_at_the_limit() -> None:
    """A hub that is too slow to cut their connection has its memory limited; others are served."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIMITED, str(LIMIT_BYTES)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        victim = Victim(process.stdout.readline().strip(), process.pid, None)
        with connected(victim) as peer:
            peer.sendall(GREETING + ready(b"Socket-Type", b"DEALER", b"Identity", b""))
            greeted = b""
            while b"READY" not in greeted:
                greeted += peer.recv(4096)
            taken = pour(peer, frame(bytes(60_000), more=True), 10_000)
        assert taken < 2 * LIMIT_BYTES
        assert victim.peak() < LIMIT_BYTES + GROWTH_BYTES
        victim.serves()
    finally:
        process.kill()
        process.communicate()


READ_BY_NOBODY = """
from pipeline.hub.catchup import PAGES_UNDER_WAY
from pipeline.hub.sockets import LIMITS
from pipeline.transport.sockets import Router, wait
with Router("tcp://127.0.0.1:0", queue=PAGES_UNDER_WAY, limits=LIMITS["replay"]) as router:
    print(router.endpoint, flush=True)
    while True:
        wait([router], 0.5)
        for peer, frame in router.receive(1):
            while router.offer(peer, bytes([len(frame)]) * 524_288):
                pass
            print(router.refused_connections, flush=True)
"""
"""Sends pages to each peer that asks, until it takes no more."""


def test_readers_that_do_not_read_take_little_memory() -> None:
    """Of 160, which would be 320 MiB, as many are served as the hub has memory for."""
    process = subprocess.Popen(
        [sys.executable, "-c", READ_BY_NOBODY], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        victim = Victim(process.stdout.readline().strip(), process.pid, None)
        before = victim.peak()
        with ExitStack() as stack:
            for _ in range(160):
                reader = Dealer(victim.endpoint, max_frame=1 << 20, queue=1)
                deliver(stack.enter_context(reader), b"x")
                refused = int(process.stdout.readline())
        assert refused >= 90
        assert victim.peak() - before < 200 * MIB
    finally:
        process.kill()
        process.communicate()


def test_clients_that_do_not_read_hold_little_of_any_socket(tmp_path: Path) -> None:
    """Each socket's connections, times the messages that wait for one, times the longest."""
    window = np.zeros((DispatchConfig().max_batch, WINDOW_SAMPLES), np.float32)
    ids = [("s" * 64, 2**62, 2**52)] * len(window)
    longest = {"replay": ALERTS_PER_PAGE * 1_200, "ingest": 1_000}
    measures = np.zeros((len(window), MEASURES), np.float32)
    longest["work"] = len(encode(ScoreRequest(ids=ids, windows=window, measures=measures)))
    with hub_by_hand(tmp_path / "log") as one:
        source = one.connect("ingest")
        one.accepted(source, chunk(1))
        _, (status,) = one.hub._state()
        longest["control"] = MAX_STREAMS * len(encode_json(status))
        for name, router in one.hub._sockets.routers.items():
            assert router._connections is not None
            waiting = router._socket.getsockopt(zmq.SNDHWM)
            assert router._connections._limits.in_all * waiting * longest[name] < 256 * MIB, name


def test_a_hub_may_have_as_many_connections_as_the_machine_allows() -> None:
    """Its limit of open files is raised to what it may be; a memory limit that is lower stays."""
    script = (
        "import resource as r\n"
        "from monitor.run.limits import set_hub_limits\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, r.getrlimit(r.RLIMIT_NOFILE)[1]))\n"
        "r.setrlimit(r.RLIMIT_DATA, (1 << 28, 1 << 28))\n"
        "set_hub_limits()\n"
        "print(*r.getrlimit(r.RLIMIT_NOFILE), *r.getrlimit(r.RLIMIT_DATA))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    files, most_files, *data = (int(word) for word in run.stdout.split())
    assert files == min(most_files if most_files >= 0 else 65_536, 65_536)
    assert data == [1 << 28, 1 << 28]
