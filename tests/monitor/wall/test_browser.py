"""The page in a headless Chromium: what somebody in front of the wall sees."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.wall.test_state import minute
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
    """Wait until a JavaScript expression is true; a function, for the page forbids `eval`."""
    page.wait_for_function(f"() => {expression}")


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
            until(page, f"document.getElementById('alarm').textContent.includes('{name}')")
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
    """Whichever the wall heard of first: a place is the same on all walls, and after a restart."""
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
