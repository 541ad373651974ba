"""The dashboard as a program: it receives, draws, and does what keys and clicks ask for.

What a key does is in `monitor.dashboard.view`, what is drawn in `monitor.dashboard.screen`. Here
are the clock, the terminal and the thread in which the monitor is asked.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from textual import events
from textual.app import App, ComposeResult
from textual.screen import Screen

from monitor.dashboard.alarms import fastest_flash
from monitor.dashboard.bell import Bells
from monitor.dashboard.screen import lacking, patient_at, patients_of, picture
from monitor.dashboard.state import DashboardState
from monitor.dashboard.stream_signal import Piece, Stretch
from monitor.dashboard.terminal.driver import StdoutDriver
from monitor.dashboard.terminal.look import Look
from monitor.dashboard.terminal.picture import Picture
from monitor.dashboard.tiles import shown_alarm
from monitor.dashboard.view import Quit, View, click, press
from monitor.text import safe_text
from pipeline.errors import MonitorError
from pipeline.schema.public import Received, SignalStrip
from pipeline.schema.requests import (
    Acknowledge,
    ControlReply,
    ControlRequest,
    Limits,
    Show,
    Silence,
)

FRAMES_PER_S: Final = 10
"""The highest rate of pictures."""

_MANY: Final = 16
_MANY_FRAMES_PER_S: Final = 5
"""That of pictures with more than this number of patients."""

_AGES_EVERY_S: Final = 0.25
"""Period of pictures without messages: ages that do not move show that the dashboard hangs."""

_EARLY_S: Final = 0.02
"""A frame that is due so soon is drawn now: the timer is not exact."""

_RECEIVE_S: Final = 0.05
"""So long at most it receives before it draws, whatever waits."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """The monitor that is shown, as the dashboard knows it."""

    receive: Callable[[], Iterable[Received]]
    """Returns what has arrived, without waiting."""
    ask: Callable[[ControlRequest], ControlReply]
    """Waits for the answer; raises `MonitorError`. Called in a thread."""
    stop: Callable[[], bool]
    """Whether the dashboard is to end."""
    recorded: Callable[[Stretch], SignalStrip | None] | None = None
    """Returns what is recorded of a stretch, None for nothing; raises `MonitorError`. Called in a
    thread. None where there is no recording."""
    interrupt: Callable[[], None] | None = None
    """Ends the run that the dashboard belongs to; None where it belongs to none."""


class _Screen(Screen[None], inherit_bindings=False):
    """A screen without keys of its own."""


class Dashboard(App[None], inherit_bindings=False):
    """The program."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; }"

    def __init__(
        self,
        monitor: Monitor,
        look: Look,
        *,
        view: View,
        sound: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `run` shows it.

        Args:
            monitor: what is shown.
            look: of the terminal.
            view: at the beginning.
            sound: whether to ring the terminal's bell.
            clock: in seconds.
        """
        super().__init__(driver_class=StdoutDriver, ansi_color=True)
        self.state = DashboardState(clock())
        self.view = replace(view, recorded=monitor.recorded is not None)
        self.failure: Exception | None = None
        """Why it ended, if it had to."""
        self.interrupted = False
        """Whether Ctrl-C or `q` ended it."""
        self._monitor = monitor
        self._bells = Bells() if sound else None
        self._clock = clock
        self._picture = Picture(look, self._write)
        self._drawn_at = self._pressed_at = float("-inf")
        self._drawn: tuple[int, View] | None = None
        self._reading = False
        """Whether the recording is being read: one stretch at a time."""

    def get_default_screen(self) -> Screen[None]:
        """Return the only screen."""
        return _Screen()

    def compose(self) -> ComposeResult:
        """Yield the only widget."""
        yield self._picture

    def on_mount(self) -> None:
        """Begin with the first frame."""
        self._picture.focus()
        self.set_interval(1 / FRAMES_PER_S, self.frame)

    def frame(self) -> None:
        """Receive, and draw if a picture is due."""
        if self._monitor.stop():
            self.exit()
            return
        now = self._clock()
        try:
            for message in self._monitor.receive():
                self.state.receive(message, self._clock())
                if self._clock() - now > _RECEIVE_S:
                    break
        except MonitorError as error:
            self.failure = error
            self.exit()
            return
        self._draw_if_due()
        self._ring()

    def _draw_if_due(self) -> None:
        now = self._clock()
        flashes = self.view.flash and fastest_flash(self.state) > 0
        changed = self._drawn != (self.state.revision, self.view)
        many = len(self.state.streams) > _MANY and not self.view.opened
        period_s = 1 / (_MANY_FRAMES_PER_S if many else FRAMES_PER_S)
        if now - self._drawn_at >= (period_s - _EARLY_S if changed or flashes else _AGES_EVERY_S):
            self._draw(now)

    def _draw(self, now: float) -> None:
        size = self._picture.size
        if size.width and size.height:
            self._drawn, self._drawn_at = (self.state.revision, self.view), now
            self._picture.show(picture(self.state, (size.width, size.height), now, self.view))

    def _write(self, text: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(text)

    def _ring(self) -> None:
        if self._bells is not None:
            now = self._clock()
            active = [received.alert for received in self.state.active_alarms()]
            if self._bells.due(active, self.state.silenced_s(now), now):
                self.bell()

    def on_resize(self) -> None:
        """Draw in the new size."""
        self.call_after_refresh(lambda: self._draw(self._clock()))

    def on_key(self, event: events.Key) -> None:
        """Do what a key asks for."""
        event.stop()
        if event.key == "ctrl+c":
            self._end()
            return
        key = event.character if event.is_printable and event.character else event.key
        size = self._picture.size
        patients = patients_of(self.state, self.view, (size.width, size.height), self._clock())
        if self.view.frozen is None:
            self.view = replace(self.view, log_id=self.state.log_id)
        self.view, request = press(self.view, key, patients)
        if isinstance(request, Quit):
            self._end()
        elif request is not None:
            self._ask(request)
        self._react()

    def on_click(self, event: events.Click) -> None:
        """Select or open the patient under the mouse."""
        size, cell = self._picture.size, (event.screen_x, event.screen_y)
        whole = (size.width, size.height)
        name = patient_at(self.state, self.view, whole, cell)
        self.view = click(self.view, name, patients_of(self.state, self.view, whole, self._clock()))
        self._react()

    def _react(self) -> None:
        """Draw at once what a key has changed; keys that are held down wait for the next frame."""
        self._read_further()
        now = self._clock()
        held, self._pressed_at = now - self._pressed_at < 1 / FRAMES_PER_S, now
        if not held:
            self._draw(now)

    def _end(self) -> None:
        """End the run, whose end is that of its dashboard, or this dashboard alone."""
        if self._monitor.interrupt is not None:
            self.view = replace(self.view, said="the run ends", leaving=False)
            self._monitor.interrupt()
            return
        self.interrupted = True
        self.exit()

    def _ask(self, request: Acknowledge | Limits | Silence | Show) -> None:
        self.view = replace(self.view, said="asking the monitor ...")
        self.run_worker(lambda: self._answer(request), thread=True, exit_on_error=False)

    def _answer(self, request: Acknowledge | Limits | Silence | Show) -> None:
        """Ask the monitor; runs in a thread."""
        try:
            reply = self._monitor.ask(request)
        except MonitorError as error:
            self.call_from_thread(self._say, str(error))
            return
        self.call_from_thread(self._take, request, reply)

    def _take(self, request: Acknowledge | Limits | Silence | Show, reply: ControlReply) -> None:
        if isinstance(request, Show):
            if self.view.alarm == request.seq:
                self.view = shown_alarm(self.state, self.view, reply)
                self._say(self.view.said)
                self._read_further()
        elif isinstance(request, Silence):
            seconds = f"no sound for {reply.silenced_s:g} s" if reply.silenced_s else "sound is on"
            self._say(seconds)
        elif isinstance(request, Limits):
            if self.view.limits is not None and self.view.limits.stream == request.stream:
                self.view = replace(self.view, limits=None)
            rest = "written to the cluster; refused unless an alert limits_changed comes"
            self._say(f"{request.stream}: {reply.alerts[0].reason if reply.alerts else rest}")
        else:
            kinds = {alert.kind.replace("_", " ") for alert in reply.alerts}
            whose = f"{request.stream}: " if request.stream else ""
            self._say(f"{whose}acknowledged {', '.join(sorted(kinds)) or 'nothing'}")

    def _read_further(self) -> None:
        """Read what a frozen picture lacks from the recording, if nothing is being read."""
        size = self._picture.size
        stretch = lacking(self.state, self.view, (size.width, size.height))
        if stretch is not None and not self._reading:
            self._reading = True
            self.run_worker(lambda: self._read(stretch), thread=True, exit_on_error=False)

    def _read(self, stretch: Stretch) -> None:
        """Read a stretch of the recording; runs in a thread."""
        assert self._monitor.recorded is not None
        strip, fault = None, ""
        try:
            strip = self._monitor.recorded(stretch)
        except (MonitorError, OSError) as error:
            fault = str(error)
        self.call_from_thread(self._take_piece, Piece.of(stretch, strip), fault)

    def _take_piece(self, piece: Piece, fault: str) -> None:
        self._reading = False
        if self.view.frozen is not None:
            said = safe_text(fault, 128) if fault else self.view.said
            self.view = replace(self.view, piece=piece, said=said)
            self._draw(self._clock())
            self._read_further()  # meanwhile somebody may have scrolled on

    def _say(self, words: str) -> None:
        self.view = replace(self.view, said=safe_text(words, 128))
        self._draw(self._clock())

    def _handle_exception(self, error: Exception) -> None:
        """Keep what went wrong for the caller of `run`, in place of a page of traceback."""
        self.failure = self.failure or error
        super()._handle_exception(error)
        self._exit_renderables.clear()
