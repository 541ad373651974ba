"""A publisher in place of a hub, and the wall of it, both in threads of the test."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from monitor.run.events import WallReady
from monitor.wall.server import WallOptions, serve_wall
from pipeline.schema.public import (
    Alert,
    Heartbeat,
    Public,
    PublishedAlert,
    SignalStrip,
    Status,
    encode_json,
)
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Publisher
from tests.support.ports import free_ports
from tests.support.running import DEADLINE_S, thread

FS = 360
TICK_S = 0.05


def alarm(stream: str, kind: str = "asystole", priority: str = "high", **fields: Any) -> Alert:
    """Return an alert of an alarm that is on."""
    facts: dict[str, Any] = {
        "category": "physiological", "sample": 360, "time_s": 1.0, "begin_s": 1.0,
        "reason": "no QRS for 4 s", "episode": f"{kind}-0-360", **fields,
    }  # fmt: skip
    return Alert(stream=stream, kind=kind, priority=priority, **facts)


def published(alert: Alert, **fields: Any) -> PublishedAlert:
    """Return an alert as subscribers receive it."""
    known = {name: getattr(alert, name) for name in Alert.__struct_fields__}
    return PublishedAlert(**{**known, "seq": 1, **fields})


class Ward:
    """Publishes like a hub: heartbeats, and status and signal of some streams; a context manager.

    The signal of a stream is a spike a second and its number in between, so that a strip says of
    whom it is.
    """

    def __init__(self, *streams: str, signal_hz: float = 10.0, status_s: float = 0.25) -> None:
        self.port = free_ports()
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.alarms: dict[str, list[Alert]] = {}
        """Active alarms, as the next statuses name them."""
        self.fields: dict[str, Any] = {}
        """What statuses have besides."""
        self._seq = 0
        self._streams = streams
        self._every_s, self.status_s = 1 / signal_hz, status_s
        self._more: queue.Queue[tuple[str, Public]] = queue.Queue()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def send(self, topic: str, message: Public) -> None:
        """Publish a message at once."""
        self._more.put((topic, message))

    def raise_alarm(self, alert: Alert) -> None:
        """Publish an alert, and name its alarm in statuses from now on."""
        self.alarms[alert.stream] = [alert]
        self._seq += 1
        self.send(f"alert/{alert.stream}", published(alert, log_id="a", seq=self._seq))

    def _run(self) -> None:
        with Publisher(self.endpoint) as publisher:
            began = time.monotonic()
            due = dict.fromkeys(("status", "signal", "heartbeat"), 0.0)
            sent, last_seq = [0] * len(self._streams), 0
            while not self._ending.is_set():
                now = time.monotonic() - began
                if now >= due["heartbeat"]:
                    due["heartbeat"] = now + 0.1
                    beat = Heartbeat(log_id="a", last_seq=last_seq, low_water_seq=1)
                    publisher.publish("heartbeat", encode_json(beat))
                if now >= due["signal"]:
                    due["signal"] = now + self._every_s
                    for i, name in enumerate(self._streams):
                        strip, sent[i] = _strip(name, i, sent[i], int(now * FS) + 1)
                        publisher.publish(f"signal/{name}", encode_json(strip))
                if now >= due["status"]:
                    due["status"] = now + self.status_s
                    for i, name in enumerate(self._streams):
                        status = self._status(name, i, now)
                        publisher.publish(f"status/{name}", encode_json(status))
                try:
                    topic, message = self._more.get(timeout=TICK_S)
                except queue.Empty:
                    continue
                publisher.publish(topic, encode_json(message))
                # As a hub: one that a heartbeat names before it comes counts as missed.
                last_seq = max(last_seq, getattr(message, "seq", 0))

    def _status(self, name: str, i: int, now: float) -> Status:
        facts: dict[str, Any] = {
            "state": "normal", "lead": "II", "fs_hz": float(FS), "sample": int(now * FS),
            "time_s": now, "bpm": 60.0 + i, "alarms": self.alarms.get(name, []), **self.fields,
        }  # fmt: skip
        return Status(stream=name, **facts)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Fall silent, as a hub that was killed."""
        self._ending.set()
        self._thread.join()

    def __exit__(self, *exception: object) -> None:
        self.stop()


def _strip(name: str, number: int, first: int, end: int) -> tuple[SignalStrip, int]:
    at = np.arange(first, end)
    mv = np.where(at % FS == 0, 1.0, number / 100)
    return SignalStrip(stream=name, first_sample=first, fs_hz=float(FS), mv=mv.tolist()), end


@contextmanager
def running_wall(
    endpoint: str,
    http: str = "127.0.0.1:0",
    token: Path | None = None,
    keys: ClientKeys | None = None,
    **options: Any,
) -> Iterator[str]:
    """Serve a wall in a thread; yield its URL, without the slash at the end."""
    begun: queue.Queue[WallReady] = queue.Queue()

    def serve(stop: Callable[[], bool]) -> None:
        chosen = WallOptions(http=http, token=token, **options)
        serve_wall(endpoint, chosen, stop, keys=keys, ready=begun.put)

    with thread(serve):
        yield begun.get(timeout=DEADLINE_S).url.removesuffix("/")
