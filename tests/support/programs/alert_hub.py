"""A hub as a process, with alerts raised at a steady rate instead of by streams.

``python alert_hub.py LOG PORT RATE TOTAL`` serves alerts on PORT (0 for any) and raises RATE alerts
a second until there are TOTAL in the log. It prints its addresses as one JSON line and ends on
SIGTERM. ``values`` of each alert has ``sent_s``: when it was raised, by the clock that all
processes share.
"""

import json
import select
import signal
import sys
import threading
import time
from pathlib import Path

from pipeline.hub.config import HubConfig
from pipeline.hub.hub import Hub
from pipeline.schema.public import Alert
from pipeline.transport.sockets import Dealer
from tests.support.running import CONFIG

WAKE_S = 0.01


def made(n: int, now: float) -> Alert:
    """Return an alert like those of beats, of no active alarm; ``n`` is its ``sample``."""
    return Alert(
        stream=f"s{n % 7}",
        kind="anomalous_beat",
        category="physiological",
        priority="low",
        sample=n,
        time_s=n / 360,
        score=7.31,
        threshold=5.68,
        reason="31 % premature; QRS differs from this patient's normal",
        ticks=[148, 171],
        beat_class="V",
        bpm=74.2,
        class_probabilities={"N": 0.021, "S": 0.008, "V": 0.962, "F": 0.009},
        shares={"model": 1.24, "own": 0.0, "shape": 1.37, "qrs": 1.7, "early": 3.0, "late": 0.0},
        count=1,
        begin_s=n / 360,
        values={"sent_s": now},
    )


def main(log: str, port: str, rate: str, total: str) -> None:
    """Serve until stopped."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    alerts, replay, control = (int(port) and int(port) + n for n in range(3))
    config = HubConfig(
        alerts=f"tcp://127.0.0.1:{alerts}",
        replay=f"tcp://127.0.0.1:{replay}",
        control=f"tcp://127.0.0.1:{control}",
        log=Path(log),
        live_score=CONFIG,
    )
    with Hub(config, time.monotonic) as hub, Dealer(hub.endpoints["ingest"]) as here:
        sys.stdout.write(json.dumps(hub.endpoints) + "\n")
        sys.stdout.flush()
        waker = threading.Thread(target=wake, args=(hub.endpoints["ingest"], stopped))
        waker.start()
        raised = first = hub.last_seq
        began = drafted_at = time.monotonic()
        while not stopped:
            now = time.monotonic()
            due = min(int(total), first + int((now - began) * float(rate)))
            if due > raised and now - drafted_at >= WAKE_S:
                hub._outbox.add_alerts([made(n, now) for n in range(raised + 1, due + 1)])
                raised, drafted_at = due, now
                here.send(b"")  # no message, but something to read: the turn begins at once
            hub.turn()
        waker.join()


def wake(ingest: str, stopped: list[int]) -> None:
    """Let the hub look around so often, whatever its own deadlines are."""
    with Dealer(ingest) as dealer:
        while not stopped:
            dealer.send(b"")
            select.select([], [], [], WAKE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
