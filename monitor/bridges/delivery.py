"""Deliver the alerts of a running monitor to an outlet: each at least once, and in order.

The position file moves once the outlet has confirmed. So a bridge that is killed repeats what it
delivered in its last second, and misses nothing; the receiver drops repeats by ``log_id`` and
``seq``. While the other system cannot be reached the alerts stay in the monitor's log, and the
bridge tries again, after half a second at first and after half a minute at most.
"""

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from monitor.alert_lines import SILENT_AFTER_S, contact_line
from monitor.bridges.outlet import Outlet, UnavailableError
from monitor.inputs import state_folder
from monitor.log_format import report_line
from monitor.run.events import OutletReady, announce
from monitor.run.processes import interrupted_between_turns, stop_when_orphaned
from monitor.text import safe_text
from pipeline.client import Subscriber
from pipeline.errors import ConfigError
from pipeline.transport.curve import ClientKeys

logger = logging.getLogger(__name__)

_TURN_S: Final = 0.25
_STORE_S: Final = 1.0
"""While records come fast, they are confirmed and the position is stored so often."""

_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 30.0
_SLICE_S: Final = 0.1
"""A pause looks so often whether the bridge is to end."""


@dataclass(frozen=True, slots=True)
class Feed:
    """The monitor whose alerts are delivered, and where the position is kept."""

    endpoint: str
    position: Path | None = None
    """None for a file of its own for each pair of monitor and target."""
    keys: ClientKeys | None = None


class _StoppedError(Exception):
    """A signal came while something was not delivered yet."""


def run_bridge(outlet: Outlet, feed: Feed, *, keeps_position: bool = True) -> None:
    """Deliver until SIGTERM or Ctrl-C.

    It prints one ``ready`` event, and a line on stderr when trouble begins and when it ends.

    Args:
        outlet: where to.
        feed: where from.
        keeps_position: whether to continue where an earlier bridge stopped; otherwise it delivers
            what comes from now on.

    Raises:
        ConfigError: an address is malformed, the position cannot be used, or the other system
            refuses us.
        EndpointError: the monitor refuses the keys.
    """
    position = None
    if keeps_position:
        position = feed.position or default_position(feed.endpoint, outlet)
    with (
        contextlib.suppress(KeyboardInterrupt),
        interrupted_between_turns(stop_when_orphaned(None)) as stop,
    ):
        deliver(outlet, feed, position, stop)


def deliver(outlet: Outlet, feed: Feed, position: Path | None, stop: Callable[[], bool]) -> None:
    """Deliver until ``stop`` says so; raise as `run_bridge` does.

    Args:
        outlet: where to.
        feed: where from.
        position: the file that keeps the position; None for none, and for what comes from now on.
        stop: asked ten times a second.
    """
    with (
        contextlib.suppress(_StoppedError),
        outlet,
        Subscriber(
            feed.endpoint, position=position, topics=outlet.topics, keys=feed.keys
        ) as subscriber,
    ):
        announce(
            OutletReady(
                endpoint=feed.endpoint,
                target=outlet.target,
                position=None if position is None else str(position),
            )
        )
        _Delivery(outlet, subscriber, feed.endpoint, stop).run()


def default_position(endpoint: str, outlet: Outlet) -> Path:
    """Return the position file of this pair of monitor and target; its folder is there.

    Raises:
        ConfigError: this user has no home folder, or it cannot be written.
    """
    digest = hashlib.sha256(f"{endpoint}\n{outlet.target}".encode()).hexdigest()[:16]
    folder = state_folder("--position")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make {folder}: {error.strerror}; name a file with --position"
        ) from None
    return folder / f"bridge-{digest}.position"


class _Delivery:
    """One bridge at work."""

    def __init__(
        self, outlet: Outlet, subscriber: Subscriber, endpoint: str, stop: Callable[[], bool]
    ) -> None:
        self._outlet = outlet
        self._subscriber = subscriber
        self._endpoint = endpoint
        self._stop = stop
        self._stored_at = time.monotonic()
        self._trouble = self._position_fault = ""
        self._reachable: bool | None = None
        self._never = threading.Event()

    def run(self) -> None:
        """Deliver until told to stop; all that was taken from the subscriber is confirmed then."""
        while not self._stop():
            began = time.monotonic()
            for message in self._subscriber.receive(_TURN_S):
                self._until_done(partial(self._outlet.deliver, message))
                if self._stop() or time.monotonic() - self._stored_at >= _STORE_S:
                    self._settle()
                if self._stop():
                    return
            if time.monotonic() - began < SILENT_AFTER_S / 2:  # otherwise it did not listen
                self._watch_contact()
            self._settle()

    def _settle(self) -> None:
        """Have everything confirmed, then move the position."""
        self._until_done(self._outlet.confirm)
        self._stored_at = time.monotonic()
        try:
            self._subscriber.store()
        except ConfigError as error:  # a full disk keeps no alarm from anybody
            if not self._position_fault:
                _report(f"{error}; a bridge that starts again will repeat alerts")
            self._position_fault = str(error)
        else:
            self._position_fault = ""

    def _until_done(self, step: Callable[[], None]) -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                step()
            except UnavailableError as error:
                self._report_trouble(str(error))
                self._pause(delay_s if error.retry_s is None else error.retry_s)
                delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
            else:
                if self._trouble:
                    _report(f"delivering to {self._outlet.target} again")
                self._trouble = ""
                return

    def _report_trouble(self, reason: str) -> None:
        """Say it once, whatever follows, until something is delivered."""
        if reason and not self._trouble:
            _report(f"cannot deliver to {self._outlet.target}: {reason}; trying again")
            self._trouble = reason
        elif reason:
            logger.info("still cannot deliver: %s", reason)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0 or self._stop():
            if self._stop():
                raise _StoppedError
            self._never.wait(min(left_s, _SLICE_S))

    def _watch_contact(self) -> None:
        """Say on stderr, and to the outlet, that the monitor is silent, or sends again."""
        reachable = self._subscriber.heartbeats > 0 and self._subscriber.silent_s <= SILENT_AFTER_S
        if not reachable and self._subscriber.silent_s <= SILENT_AFTER_S:
            return  # just begun
        if reachable == self._reachable:
            return
        if not reachable or self._reachable is not None:
            _report(
                contact_line(
                    self._endpoint, silent=not reachable, before=self._subscriber.heartbeats > 0
                )
            )
        self._reachable = reachable
        self._outlet.contact(reachable=reachable)


def _report(text: str) -> None:
    report_line(f"monitor: {safe_text(text, 500)}", logging.WARNING)
