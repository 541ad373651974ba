"""The program: each key and the mouse do on the screen what they do to the view."""

import asyncio
import time
from functools import partial

import pytest
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from monitor.dashboard.options import DashboardOptions, Palette
from monitor.dashboard.terminal.app import Dashboard, Monitor
from monitor.dashboard.terminal.look import Look, has_every_character, plain_character
from monitor.dashboard.terminal.picture import changes
from monitor.dashboard.view import View
from pipeline.errors import EndpointError
from pipeline.schema.public import Alert, Heartbeat, SignalStrip, Status
from pipeline.schema.requests import Acknowledge, ControlReply, Limits, Show, Silence
from tests.support.pseudo_terminal import Cells

HEARTBEAT = Heartbeat(log_id="L", last_seq=0, low_water_seq=1)


def messages(names=("a", "b", "c"), alarm="b"):
    """Return what a hub has sent of some patients, one in alarm."""
    fields = {"state": "normal", "fs_hz": 100.0, "sample": 6_000, "time_s": 60.0, "bpm": 60.0}
    fields["limits"] = {"heart_rate_low_bpm": 50.0, "heart_rate_high_bpm": 120.0}
    yield HEARTBEAT
    for name in names:
        mv = [1.0 if i % 100 < 5 else 0.0 for i in range(6_000)]
        yield SignalStrip(stream=name, first_sample=0, fs_hz=100.0, mv=mv)
        yield Status(stream=name, **fields)
    of = {"category": "physiological", "priority": "high", "reason": "no QRS", "episode": "e"}
    yield Alert(stream=alarm, seq=7, kind="asystole", sample=5_000, time_s=50.0, **of)


class Fake:
    """A monitor that answers in the same process, on a clock that the test can set ahead."""

    def __init__(self, *to_send):
        self.to_send = list(to_send)
        self.asked = []
        self.interrupts = 0
        self.over = False
        self.ahead_s = 0.0
        self.fails = None

    def ask(self, request):
        """Answer as a hub does."""
        self.asked.append(request)
        if self.fails is not None:
            raise self.fails
        if isinstance(request, Show):
            strip = SignalStrip(stream="b", first_sample=4_500, fs_hz=100.0, mv=[0.5] * 1_000)
            return ControlReply(strip=strip)
        if isinstance(request, Silence):
            return ControlReply(silenced_s=request.seconds)
        if isinstance(request, Limits):
            changed = {"kind": "limits_changed", "category": "technical", "priority": "low"}
            changed |= {"seq": 8, "sample": 6_000, "time_s": 60.0, "episode": "l"}
            reason = f"limits of this stream: {request.limits}"
            return ControlReply(alerts=[Alert(stream=request.stream, reason=reason, **changed)])
        return ControlReply()

    def receive(self):
        """Yield what is to be sent, once."""
        while self.to_send:
            yield self.to_send.pop(0)

    def interrupt(self):
        """Count what would end a run."""
        self.interrupts += 1

    def dashboard(self, *, of_run=False, look=None, **view):
        """Return the program."""
        monitor = Monitor(
            receive=self.receive,
            ask=self.ask,
            stop=lambda: self.over,
            interrupt=self.interrupt if of_run else None,
        )
        return Dashboard(
            monitor,
            look or Look(),
            view=View(of_run=of_run, **view),
            clock=lambda: time.monotonic() + self.ahead_s,
        )


def shown(app):
    """Return the text on the screen."""
    picture = app._picture
    return "\n".join(picture.render_line(y).text for y in range(picture.size.height))


async def until(pilot, seen):
    """Let the program run until ``seen`` returns true; fail after many turns."""
    for _ in range(2_000):
        if seen():
            return
        await pilot.pause(0.01)
    raise AssertionError(shown(pilot.app))


def drive(fake, steps, size=(100, 30), **options):
    """Run ``steps(app, pilot)`` on the program in a terminal of this size."""

    async def run():
        app = fake.dashboard(**options)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: "ECG MONITOR" in shown(app))
            await steps(app, pilot)
        return app

    return asyncio.run(run())


def test_every_key_does_on_the_screen_what_it_does_to_the_view():
    """One after another, as somebody at the bedside would press them."""
    fake = Fake(*messages())

    async def steps(app, pilot):
        see = partial(until, pilot)
        await see(lambda: "ASYSTOLE  b" in shown(app))
        await pilot.press("a")
        await see(lambda: Acknowledge(stream="b") in fake.asked)
        await see(lambda: "b: acknowledged" in shown(app))
        await pilot.press("A")
        await see(lambda: Acknowledge() in fake.asked)
        await pilot.press("s")
        await see(lambda: "no sound for 120 s" in shown(app))
        await pilot.press("?")
        await see(lambda: "acknowledge all alarms" in shown(app))
        await pilot.press("x")
        await see(lambda: "acknowledge all alarms" not in shown(app))
        await pilot.press("right")
        await see(lambda: "ALSO: b ASYSTOLE" in shown(app))
        await pilot.press("w")
        await see(lambda: "ASYSTOLE  b" in shown(app))
        await pilot.press("enter")
        await see(lambda: "heart rate" in shown(app))
        await pilot.press("f", "[")
        await see(lambda: "FROZEN 0:50" in shown(app))
        await pilot.press("]", "left")
        await see(lambda: "FROZEN 0:59" in shown(app))
        await pilot.press("p")
        await see(lambda: "FROZEN: ALERT 7" in shown(app))
        await pilot.press("space")
        await see(lambda: "FROZEN" not in shown(app))
        await pilot.press("escape")
        await see(lambda: "heart rate" not in shown(app))
        await pilot.press("slash", "c", "enter")
        await see(lambda: "filter: c" in shown(app))
        assert " a  " not in shown(app).split("\n")[2]
        await pilot.press("escape", "t")
        await see(lambda: app.view.tiles == 4)
        await pilot.press("down", "pagedown", "end", "home", "up", "left", "n", "tab", "ctrl+z")
        await see(lambda: "ECG MONITOR" in shown(app))
        await pilot.press("q")

    app = drive(fake, steps)
    assert app.interrupted
    assert app.failure is None


def test_limits_of_the_selected_patient_are_chosen_and_sent():
    """The alarm stays in sight meanwhile, and what the monitor answers is shown."""
    fake = Fake(*messages())

    async def steps(app, pilot):
        see = partial(until, pilot)
        await see(lambda: "ASYSTOLE  b" in shown(app))
        await pilot.press("l")
        await see(lambda: "heart rate limits of b" in shown(app))
        assert "ASYSTOLE  b" in shown(app)
        await pilot.press("down", "plus", "right")
        await see(lambda: "120 bpm → 130 bpm" in shown(app))
        await pilot.press("enter")
        await see(lambda: "b: limits of this stream: {'heart_rate_high_bpm': 130.0}" in shown(app))
        assert "heart rate limits of b" not in shown(app)
        fake.fails = EndpointError("pause_s must be shorter")
        await pilot.press("l", "d")
        await see(lambda: "50 bpm → default" in shown(app))
        await pilot.press("enter")
        await see(lambda: "pause_s must be shorter" in shown(app))
        assert "50 bpm → default" in shown(app)
        fake.fails = None
        await pilot.press("enter")
        await see(lambda: "heart rate limits of b" not in shown(app))

    drive(fake, steps)
    changed = Limits(stream="b", limits={"heart_rate_high_bpm": 130.0})
    assert fake.asked == [changed, *2 * [Limits(stream="b", default=True)]]


def test_a_click_selects_a_patient_and_a_second_one_opens():
    """By the tile under the mouse."""
    fake = Fake(*messages())

    async def steps(app, pilot):
        await until(pilot, lambda: "ASYSTOLE" in shown(app))
        line = next(y for y, text in enumerate(shown(app).split("\n")) if "▌c " in text)
        column = shown(app).split("\n")[line].index("▌c ")
        await pilot.click(offset=(column + 3, line + 1))
        await until(pilot, lambda: "█c " in shown(app))
        await pilot.click(offset=(column + 3, line + 1))
        await until(pilot, lambda: "─ c " in shown(app))

    drive(fake, steps)


@pytest.mark.parametrize("keys", [["ctrl+c"], ["q", "q"]])
def test_the_dashboard_of_a_run_ends_the_run_which_ends_it(keys):
    """It goes on to draw while the run drains."""
    fake = Fake(*messages())

    async def steps(app, pilot):
        await pilot.press(*keys)
        await until(pilot, lambda: "the run ends" in shown(app))
        assert fake.interrupts == 1
        assert app.is_running
        fake.over = True

    app = drive(fake, steps, of_run=True)
    assert not app.interrupted


def test_a_silent_hub_greys_the_picture_by_the_clock_of_the_dashboard():
    """No message is needed for it."""
    fake = Fake(*messages())

    async def steps(app, pilot):
        await until(pilot, lambda: "ASYSTOLE" in shown(app))
        fake.ahead_s = 100.0
        await until(pilot, lambda: "NO CONTACT WITH THE HUB FOR 10" in shown(app))
        fake.ahead_s = 200.0
        await until(pilot, lambda: "NO CONTACT WITH THE HUB FOR 20" in shown(app))

    drive(fake, steps)


def test_a_monitor_that_does_not_answer_is_named():
    """The picture goes on."""
    fake = Fake(*messages())
    fake.fails = EndpointError("nothing answers [/x]")

    async def steps(app, pilot):
        await until(pilot, lambda: "ASYSTOLE  b" in shown(app))
        await pilot.press("a")
        await until(pilot, lambda: "nothing answers [/x]" in shown(app))

    drive(fake, steps)


def test_what_goes_wrong_ends_the_program_with_its_reason():
    """The caller raises it; no traceback is printed over the terminal."""

    class Refusing(Fake):
        def receive(self):
            raise EndpointError("the monitor refuses these keys")

    async def run():
        app = Refusing().dashboard()
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.failure is not None)
        return app

    assert str(asyncio.run(run()).failure) == "the monitor refuses these keys"


def test_names_are_never_markup():
    """Neither for Textual nor for a terminal."""
    names = ("[b]x[/b]", "[/", "\x1b[2J", "@click=app.bell")
    fake = Fake(*messages(names, alarm="[/"))

    async def steps(app, pilot):
        await until(pilot, lambda: "[b]x[/b]" in shown(app))
        await pilot.press("right", "enter", "f", "a")
        await until(pilot, lambda: "acknowledged" in shown(app))
        assert "\x1b" not in shown(app)

    drive(fake, steps)


LINES = [
    ("abcdef", "abcdef", []),
    ("abcdef", "abXdef", [(2, 3)]),
    ("a" * 40, "b" + "a" * 38 + "b", [(0, 1), (39, 40)]),
    ("a" * 12, "b" + "a" * 4 + "b" + "a" * 6, [(0, 6)]),
]


@pytest.mark.parametrize(("before", "after", "spans"), LINES)
def test_only_changed_cells_are_written(before, after, spans):
    """Close ones together."""
    found = changes([Segment(before, Style())], [Segment(after, Style())])
    assert found == spans


def test_what_is_written_over_a_picture_gives_the_next_one():
    """Cell by cell, whatever has changed."""
    fake, written = Fake(*messages()), []

    async def steps(app, pilot):
        await until(pilot, lambda: "ASYSTOLE" in shown(app))
        cells = Cells()
        cells.write(("\x1b[1;1H" + shown(app)).encode())
        app._picture._write = written.append
        await pilot.press("right", "enter", "?")
        await until(pilot, lambda: "acknowledge all alarms" in shown(app))
        cells.write("".join(written).encode())
        assert cells.text.split("\n") == shown(app).split("\n")

    drive(fake, steps)
    assert sum(map(len, written)) > 0


def test_a_style_that_changes_is_a_change():
    """As when an alarm flashes."""
    red, plain = Style(color="red"), Style()
    assert changes([Segment("abc", plain)], [Segment("a", plain), Segment("bc", red)]) == [(1, 3)]


def test_a_line_with_wide_characters_is_written_whole():
    """Their cells are not their characters."""
    assert changes([Segment("日本ab", Style())], [Segment("日本ac", Style())]) == [(0, 6)]


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp437", "nonsense", None])
def test_a_terminal_of_few_characters_has_a_picture_of_ascii(encoding):
    """Each cell keeps its width, and the trace is seen."""
    assert not has_every_character(encoding)
    picture = Text("╭─ ♥ ⣿⠁⡀ ▸…–日\u2800x")
    (segment,) = Look(characters=False).segments(picture)
    assert segment.text.isascii()
    assert segment.cell_length == picture.cell_len
    assert [plain_character(char) for char in "⣿⠁⠂⡀⠀"] == ["|", "'", "-", ".", " "]


def test_a_terminal_of_utf_8_has_every_character():
    """It gets the picture as it is."""
    assert has_every_character("utf-8")
    assert Look().segments(Text("♥ ⣿"))[0].text == "♥ ⣿"


def test_without_colour_alarms_are_reversed_and_flash():
    """NO_COLOR: no colour at all, and an alarm still differs from what is around it."""
    look = Look(colour=False)

    def style_of(style):
        (segment,) = look.segments(Text.assemble(("x", style)))
        return segment.style

    for style in ("bold white on red", "bold red on white", "green", "bold black on yellow"):
        assert style_of(style).color is None
        assert style_of(style).bgcolor is None
    assert style_of("bold white on red").reverse
    assert not style_of("bold red on white").reverse
    assert style_of("bold black on yellow").reverse
    assert not style_of("bold yellow on black").reverse


def test_the_palette_for_the_colour_blind_replaces_each_colour_of_an_alarm():
    """No two of them are alike."""
    look = Look(Palette.COLOUR_BLIND)
    found = set()
    for colour in ("red", "yellow", "cyan", "green", "bright_magenta"):
        (segment,) = look.segments(Text.assemble(("x", f"bold black on {colour}")))
        found.add(segment.style.bgcolor.name)
    assert len(found) == 5
    assert all(name.startswith("#") for name in found)


def test_the_options_of_a_run_reach_its_dashboard():
    """As arguments of the process that draws; the usual ones are not named."""
    assert DashboardOptions().arguments() == []
    asked = DashboardOptions(sound=True, palette=Palette.COLOUR_BLIND, flash=False)
    assert asked.arguments() == ["--sound", "--palette", "colour-blind", "--no-flash"]
