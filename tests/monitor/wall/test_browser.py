"""The page in a headless Chromium: what somebody in front of the wall sees."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.wall.token import Token
from tests.monitor.wall.test_state import minute
from tests.support.proxy import Proxy
from tests.support.wall import Ward, alarm, running_wall

CHROMIUM = Path("/usr/bin/chromium")

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}"),
]

MARKUP = "<img src=x onerror=alert(1)><b>bed</b>"
PATIENCE_MS = 60_000
NAMED = 30
"""Messages and lines of a page that a failure names."""


NO_CANVAS = """
    window.expected = "of null";
    HTMLCanvasElement.prototype.getContext = () => null;
"""
"""A browser that has no memory left for pictures."""

HIDDEN = """
    const ask = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (draw) => window.hides ? 0 : ask(draw);
    const every = window.setInterval.bind(window);
    window.setInterval = (act, ms) => every(() => window.hides || act(), ms);
    window.tones = 0;
    const tone = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function () {
        window.tones += 1;
        return tone.call(this);
    };
"""
"""A browser that draws nothing once `hides` is set, as one whose window is behind another, and does
nothing by a timer, as after five minutes in a tab that is not shown; `tones` counts those of its
alarms."""

OLD = "delete AbortSignal.timeout;"
"""A browser of before 2022."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a browser."""
    with playwright.sync_playwright() as one:
        started = one.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def shown(
    browser: Any, url: str, width: int = 1280, height: int = 720, script: str = ""
) -> Iterator[Any]:
    """Show a page; an error of its scripts, or something that its policy forbids, is a failure.

    A test that fails says what the page showed, and what it was sent last. ``script`` runs before
    those of the page; what it says of itself in ``window.expected`` is no failure.
    """
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE_MS)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append("a dialog"))
    page.on("console", lambda line: faults.append(line.text) if "Content" in line.text else None)
    sent: deque[str] = deque(maxlen=NAMED)
    lines: deque[str] = deque(maxlen=NAMED)
    page.on("console", lambda line: lines.append(line.text))
    page.on("websocket", lambda one: _keep(one, sent))
    if script:
        page.add_init_script(script)
    page.goto(url)
    try:
        yield page
        expected = page.evaluate("window.expected ?? ''")
        assert [fault for fault in faults if not expected or expected not in fault] == []
    except BaseException as error:
        said = ("faults", faults), ("console", lines), ("the server last", sent)
        for what, found in (("the page", [_state(page)]), *said):
            error.add_note("\n  ".join([f"{what}:", *found]))
        raise
    finally:
        page.close()


def _keep(socket: Any, sent: deque[str]) -> None:
    """Keep the last messages of text that a page is sent, and when its connections close."""

    def keep(frame: str | bytes) -> None:
        if isinstance(frame, str):
            sent.append(f"{time.monotonic():.3f} {frame[:1_000]}")

    socket.on("framereceived", keep)
    socket.on("close", lambda closed: sent.append(f"{time.monotonic():.3f} closed"))


def _state(page: Any) -> str:
    """Return what a page shows, as far as it can still say so."""
    bounds = {"timeout": 5_000}
    try:
        bar = page.locator("#alarm").text_content(**bounds)
        lines = page.locator("#contact, #lost, #chips, .cell").evaluate_all(
            "all => all.map(e => `${e.id || e.style.order} ${e.hidden ? 'hidden ' : ''}"
            "${JSON.stringify(e.dataset)} ${e.innerText.replaceAll('\\n', ' | ')}`)"
        )
    except playwright.Error as error:
        return f"does not answer: {error}"
    return "\n  ".join([f"{time.monotonic():.3f} alarm: {bar}", *lines])


def until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true; a function, for the page forbids `eval`.

    It is asked by a timer: a page that is not drawn has no frames.
    """
    page.wait_for_function(f"() => {expression}", polling=50)


def alarmed(page: Any, name: str) -> None:
    """Wait until the alarm of a patient is named above all."""
    until(page, f"document.getElementById('alarm').textContent.includes('{name}')")


def listed(page: Any) -> list[str]:
    """Return the patients in the list of alerts, the newest first."""
    lines = page.locator("#alerts li").all_text_contents()
    return [word for line in lines for word in line.split() if word.startswith("bed-")]


def picture(page: Any, name: str) -> str:
    """Return the strip of a patient as a picture."""
    cell = page.locator(".cell", has_text=name)
    return str(cell.locator(".trace canvas").evaluate("canvas => canvas.toDataURL()"))


def test_a_ward_is_seen_and_a_dead_hub_greys_it(browser: Any) -> None:
    """A strip moves; an alarm is there within a second, first; silence is said, and sound asked."""
    with (
        Ward("bed-2", "bed-3", "bed-1") as ward,  # in the order in which the wall knows of them
        running_wall(ward.endpoint) as url,
        shown(browser, url) as page,
    ):
        until(page, "document.querySelectorAll('.cell .trace canvas').length === 3")
        before = picture(page, "bed-2")
        page.wait_for_function(
            "before => [...document.querySelectorAll('.cell .trace canvas')]"
            ".every(canvas => canvas.toDataURL() !== before)",
            arg=before,
        )
        assert page.locator("#sound").inner_text() == "Sound is off"
        assert page.locator("#contact").inner_text().startswith("live")

        taken = []
        for name in ("bed-3", "bed-2", "bed-1"):  # of equal alarms the first patient is named
            raised = time.monotonic()
            ward.raise_alarm(alarm(name))
            alarmed(page, name)
            taken.append(time.monotonic() - raised)
        assert min(taken) < 1.0  # the machine may be busy with other things once
        assert "ASYSTOLE  bed-1" in page.locator("#alarm").inner_text()
        del ward.alarms["bed-1"], ward.alarms["bed-2"]
        first = "[...document.querySelectorAll('.cell')].find(c => c.style.order === '0')"
        until(page, f"{first}.querySelector('.name').textContent === 'bed-3'")

        ward.stop()
        page.wait_for_selector("body.lost")
        assert "NO CONTACT WITH THE HUB" in page.locator("#lost").inner_text()
        assert "grayscale" in page.locator("#middle").evaluate("e => getComputedStyle(e).filter")


def test_patients_are_in_the_order_of_their_names(browser: Any) -> None:
    """Whichever came first: a place is the same on all walls, and after a restart."""
    names = ["bed-10", "bed-2", "icu", "bed-1", "Bed-3"]
    with (
        Ward(*names) as ward,
        running_wall(ward.endpoint) as url,
        shown(browser, url) as page,
    ):
        until(page, f"document.querySelectorAll('.cell').length === {len(names)}")
        cells = page.locator(".cell").evaluate_all(
            "all => all.map(e => [Number(e.style.order), e.querySelector('.name').textContent])"
        )
        assert [name for _, name in sorted(cells)] == ["bed-1", "bed-2", "Bed-3", "bed-10", "icu"]


def test_what_cannot_be_drawn_hides_no_alarm(browser: Any) -> None:
    """The page goes on, says what has failed, and is not grey, for the rest is live."""
    with (
        Ward("bed-1", "bed-2") as ward,
        running_wall(ward.endpoint) as url,
        shown(browser, url, script=NO_CANVAS) as page,
    ):
        until(page, "document.querySelectorAll('.cell .trace canvas').length === 2")
        until(page, "document.getElementById('lost').textContent.includes('of null')")
        for name in ("bed-2", "bed-1"):
            ward.raise_alarm(alarm(name))
            alarmed(page, name)
        assert page.locator("body.lost").count() == 0


def test_a_page_that_is_not_drawn_sounds_and_knows_of_alarms(browser: Any) -> None:
    """A window behind others, or a tab: there the browser asks for no frames."""
    with (
        Ward("bed-1", "bed-2") as ward,
        running_wall(ward.endpoint) as url,
        shown(browser, url, script=HIDDEN) as page,
    ):
        until(page, "document.querySelectorAll('.cell .trace canvas').length === 2")
        page.locator("#sound").click()
        until(page, "document.getElementById('sound').textContent === 'Sound is on'")
        page.evaluate("window.hides = true")
        before = page.evaluate("window.tones")
        ward.raise_alarm(alarm("bed-1"))
        alarmed(page, "bed-1")
        until(page, f"window.tones >= {before} + 10")
        ward.stop()
        until(page, "document.body.classList.contains('lost')")


def test_a_connection_that_died_without_a_word_is_made_again(browser: Any) -> None:
    """As where a machine on the way was switched off: nobody tells the browser."""
    with (
        Ward("bed-1", "bed-2") as ward,
        running_wall(ward.endpoint) as url,
        Proxy(int(url.rpartition(":")[2])) as proxy,
        shown(browser, f"http://127.0.0.1:{proxy.port}", script=HIDDEN) as page,
    ):
        until(page, "document.querySelectorAll('.cell .trace canvas').length === 2")
        page.evaluate("window.hides = true")
        proxy.lose()
        ward.raise_alarm(alarm("bed-1"))
        until(page, "document.body.classList.contains('lost')")
        alarmed(page, "bed-1")
        until(page, "!document.body.classList.contains('lost')")


def test_a_large_ward_comes_over_a_slow_link_alarms_first(browser: Any) -> None:
    """It takes longer than a connection may be silent; the page gets notice, and waits for it."""
    names = [f"bed-{n:03}" for n in range(150)]
    with (
        Ward(*names, signal_hz=0.01) as ward,
        running_wall(ward.endpoint) as url,
        Proxy(int(url.rpartition(":")[2])) as proxy,
        shown(browser, f"http://127.0.0.1:{proxy.port}/#tiles") as page,
    ):
        until(page, f"document.getElementById('counts').textContent.startsWith('{len(names)} ')")
        ward.status_s = 60.0  # the link takes no more
        opened: list[Any] = []
        page.on("websocket", lambda one: opened.append(one))
        proxy.bytes_per_s = 5_000.0
        proxy.cut()
        ward.raise_alarm(alarm("bed-140"))
        until(page, "document.body.classList.contains('lost')")
        alarmed(page, "bed-140")
        until(page, "!document.body.classList.contains('lost')")
        assert len(opened) == 1


def log_in(page: Any, token: Path) -> None:
    """Type the token, and wait for the patient."""
    page.locator("#token").fill(token.read_text().splitlines()[1])
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.cell').length === 1")


def test_the_token_is_asked_for_once(browser: Any, tmp_path: Path) -> None:
    """Whoever has typed it is let in, and comes back without it."""
    token = tmp_path / "token"
    Token.create(token)
    with (
        Ward("bed-1") as ward,
        running_wall(ward.endpoint, token=token) as url,
        shown(browser, url) as page,
    ):
        log_in(page, token)
        page.goto(url)
        until(page, "document.querySelectorAll('.cell').length === 1")


def test_an_older_browser_whose_session_has_ended_is_asked_for_the_token(
    browser: Any, tmp_path: Path
) -> None:
    """It lacks the newest functions, and is not left with a page on which nothing is live."""
    token = tmp_path / "token"
    Token.create(token)
    with (
        Ward("bed-1") as ward,
        running_wall(ward.endpoint, token=token) as url,
        Proxy(int(url.rpartition(":")[2])) as proxy,
        shown(browser, f"http://127.0.0.1:{proxy.port}", script=OLD) as page,
    ):
        log_in(page, token)
        page.context.clear_cookies()
        proxy.cut()
        page.wait_for_url("**/login")


def test_a_new_server_shows_no_patient_under_the_name_of_another(browser: Any) -> None:
    """It may have numbered them in another order: nothing that belongs to a number is kept."""
    with (
        Ward("bed-1", "bed-2") as one,
        Ward("bed-2", "bed-1") as other,
        running_wall(one.endpoint) as url,
        running_wall(other.endpoint) as new,
        Proxy(int(url.rpartition(":")[2])) as proxy,
        shown(browser, f"http://127.0.0.1:{proxy.port}") as page,
    ):
        until(page, "document.querySelectorAll('.cell .trace canvas').length === 2")
        page.locator(".cell", has_text="bed-1").click()
        page.wait_for_selector("body[data-view=large]")
        page.evaluate("window.old = document.querySelector('.cell .trace canvas')")
        proxy.to_port = int(new.rpartition(":")[2])
        proxy.cut()
        # Either nobody is large, or the patient who was.
        page.wait_for_selector("body[data-view=strips]")
        until(page, "document.querySelectorAll('.cell .trace canvas').length === 2")
        assert not page.evaluate("document.contains(window.old)")


def test_a_page_that_connects_again_lists_each_alert_once(browser: Any) -> None:
    """A new connection is sent past alerts, which the page has; two that look alike stay two."""
    with (
        Ward("bed-1", "bed-2", "bed-3") as ward,
        running_wall(ward.endpoint) as url,
        Proxy(int(url.rpartition(":")[2])) as proxy,
        shown(browser, f"http://127.0.0.1:{proxy.port}") as page,
    ):
        until(page, "document.querySelectorAll('.cell').length === 3")
        for name in ("bed-1", "bed-2", "bed-1"):
            ward.raise_alarm(alarm(name))
        until(page, "document.querySelectorAll('#alerts li').length === 3")
        with page.expect_websocket(timeout=PATIENCE_MS):
            proxy.cut()
        ward.raise_alarm(alarm("bed-3"))
        until(page, "document.getElementById('alerts').textContent.includes('bed-3')")
        assert listed(page) == ["bed-3", "bed-1", "bed-2", "bed-1"]


def test_alerts_of_a_new_server_are_listed_although_it_counts_anew(browser: Any) -> None:
    """Its first alert has the number of one that is listed, and is another."""
    with (
        Ward("bed-1") as one,
        Ward("bed-2") as other,
        running_wall(one.endpoint) as url,
        running_wall(other.endpoint) as new,
        Proxy(int(url.rpartition(":")[2])) as proxy,
        shown(browser, f"http://127.0.0.1:{proxy.port}") as page,
    ):
        for ward, name in ((one, "bed-1"), (other, "bed-2")):
            until(page, f"document.getElementById('grid').textContent.includes('{name}')")
            ward.raise_alarm(alarm(name))
            until(page, f"document.getElementById('alerts').textContent.includes('{name}')")
            proxy.to_port = int(new.rpartition(":")[2])
            proxy.cut()
        assert listed(page) == ["bed-2", "bed-1"]


def test_names_stay_text_and_no_patient_in_alarm_is_hidden(browser: Any) -> None:
    """Twenty patients on a phone: what the page has no place for is named above it."""
    names = [f"bed-{n}" for n in range(19)]
    with (
        Ward(*names, MARKUP) as ward,
        running_wall(ward.endpoint) as url,
        shown(browser, url, 390, 844) as page,
    ):
        until(page, "document.getElementById('counts').textContent.startsWith('20 ')")
        for name in (*names[5:], MARKUP):
            ward.alarms[name] = [alarm(name, reason=MARKUP)]
        until(
            page,
            "document.querySelectorAll('.cell[data-priority]').length"
            " + document.querySelectorAll('#chips:not([hidden]) button').length >= 15",
        )
        seen = page.evaluate(
            "[...document.querySelectorAll('.cell .name, #chips button')].map(e => e.textContent)"
        )
        assert all(any(text.startswith(name) for text in seen) for name in (*names[5:], MARKUP))
        assert page.locator("body b img, #grid img, #chips img").count() == 0


def test_one_patient_is_opened_and_closed_by_keys(browser: Any) -> None:
    """And the tiles are a key away."""
    with (
        Ward("bed-1", "bed-2") as ward,
        running_wall(ward.endpoint) as url,
        shown(browser, url) as page,
    ):
        until(page, "document.querySelectorAll('.cell .trace canvas').length === 2")
        page.locator(".cell", has_text="bed-2").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-view=large]")
        assert page.locator(".cell").count() == 1
        for n in range(3):
            ward.send("trend/bed-2", minute(n, "bed-2"))
        until(page, "document.querySelector('.trend').title.includes('of each minute')")
        page.wait_for_selector(".cell .trace canvas")
        page.keyboard.press("Escape")
        page.wait_for_selector("body[data-view=strips]")
        page.keyboard.press("v")
        page.wait_for_selector("body[data-view=tiles]")
        page.locator("#sound").click()
        until(page, "document.getElementById('sound').textContent === 'Sound is on'")
