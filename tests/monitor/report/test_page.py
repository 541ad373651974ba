"""The page: well formed, without scripts, inert whatever a recording is called, true to scale."""

import dataclasses
import re
from datetime import datetime
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import monitor
from monitor.api.events import Alarm
from monitor.report.charts import WIDTH, Rates, rate_chart
from monitor.report.content import content_of
from monitor.report.html import document
from monitor.report.log_book import LogBook
from monitor.report.log_content import log_content_of
from monitor.report.log_page import log_page
from monitor.report.page import page
from monitor.report.strips import MM_PER_S, Shown, strip
from monitor.report.svg import escaped
from monitor.report.times import axis_marks
from pipeline.alarms.settings import DEFAULTS
from pipeline.schema.alert import episode_of
from tests.monitor.report.test_log_content import minute
from tests.support.logs import alert

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b[2J\u202e"
EMPTY = {"meta", "link", "br", "hr", "img", "input"}


class Elements(HTMLParser):
    """Collects the elements of a page, and whether each is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        self.names.add(tag)
        self.attributes += attrs
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the latest one, which must be this."""
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that closes itself."""
        self.names.add(tag)
        self.attributes += attrs


@pytest.fixture(scope="module", params=["recording", "log"])
def hostile_page(request: pytest.FixtureRequest, night: monitor.Analysis) -> str:
    """Return the page of a recording, or of a stream, of which all words attack it."""
    if request.param == "log":
        return page_of_log()
    alarm = Alarm(
        kind="asystole", category="physiological", priority="high", state="off", message=HOSTILE,
        begin_s=20.0, known_s=24.0, end_s=26.0, count=1,
    )  # fmt: skip
    summary = dataclasses.replace(
        night.summary, name=HOSTILE, leads=(HOSTILE, "V1"), notes=[HOSTILE]
    )
    found = monitor.Analysis(
        night._recording, night.beats, [*night.alarms, alarm], night.rhythms, summary, night.trends
    )
    return page(content_of(found, DEFAULTS, HOSTILE), found)


def page_of_log() -> str:
    """Return the page of a stream with minutes, alarms, and signal of one of them."""
    book = LogBook(HOSTILE)
    for n, kind in enumerate(("asystole", "extreme_bradycardia")):
        episode = episode_of(kind, 0, 7200)
        one = alert(
            7200, stream=HOSTILE, kind=kind, priority="high", reason=HOSTILE, episode=episode,
            seq=n + 1, utc="2026-03-01T22:00:20Z", values={"limit_s": 4.0},
        )  # fmt: skip
        book.take_alert(one)
    book.take_alert(alert(9000, stream=HOSTILE, kind="limits_changed", reason=HOSTILE))
    for n in range(5):
        book.take_trend(minute(n, stream=HOSTILE))
    content = log_content_of(
        book, log=HOSTILE, log_id=HOSTILE, software=HOSTILE, leads=(HOSTILE,), system={HOSTILE: 1}
    )
    signal = np.zeros((1, 2520), dtype=np.float32)
    shown = Shown(begin_s=18.0, samples=signal, fs_hz=360.0, leads=[HOSTILE], onset_s=1.0)
    return log_page(content, lambda alarm: shown if alarm.kind == "asystole" else None)


@pytest.mark.system
def test_a_page_is_well_formed_and_runs_nothing(hostile_page: str) -> None:
    """Every element is closed; no script, handler, link or file of others."""
    parsed = Elements()
    parsed.feed(hostile_page)

    assert parsed.open == []
    assert parsed.names.isdisjoint({"script", "iframe", "object", "img", "link", "form", "a"})
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert not [
        v for name, v in parsed.attributes if name in ("href", "src", "action", "xlink:href")
    ]
    assert not re.search(r"url\(|@import|javascript:", hostile_page)
    assert not set(hostile_page) & {"\x00", "\x1b", "\u202e"}


@pytest.mark.system
def test_no_row_picture_or_short_table_is_split_between_sheets(hostile_page: str) -> None:
    """A table that is no longer than a sheet is printed on one."""
    kept = re.findall(r"^(.+?) \{[^}]*break-inside: avoid", hostile_page, re.MULTILINE)
    assert {"tr, .scroll", "figure", ".figure"} <= set(kept)


def test_every_picture_is_accessible_and_finite(hostile_page: str) -> None:
    """A title, a description and an id of its own; no coordinate that is no number."""
    pictures = re.findall(r"<svg .*?</svg>", hostile_page, flags=re.DOTALL)
    ids = []
    for text in pictures:
        svg = ElementTree.fromstring(text)
        assert svg.get("role") == "img"
        title, description = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
        assert title is not None
        assert description is not None
        assert title.text
        assert description.text
        assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        ids.append(title.get("id"))
        assert not re.search(r"nan|inf", " ".join(
            value for element in svg.iter() for name, value in element.items()
            if name in ("d", "points", "x", "y", "x1", "x2", "y1", "y2")
        ))  # fmt: skip
    assert len(pictures) >= 3
    assert len(set(ids)) == len(ids)


def test_a_strip_is_drawn_to_scale() -> None:
    """25 mm a second and 10 mm a millivolt: the curve gives the samples back."""
    fs = 200.0
    t = np.arange(round(7 * fs)) / fs
    samples = np.stack([np.sin(2 * np.pi * t), 0.5 * np.cos(3 * t)]).astype(np.float32)
    samples[1, 300:340] = np.nan
    shown = Shown(begin_s=0.0, samples=samples, fs_hz=fs, leads=["II", "V1"], onset_s=1.5)
    svg = ElementTree.fromstring(str(strip("s", "title", shown)))

    lines = [one for one in svg.iter(f"{SVG}polyline") if one.get("class") == "trace"]
    drawn = [
        np.array([pair.split(",") for pair in (one.get("points") or "").split()], dtype=float)
        for one in lines
    ]
    assert len(drawn) == 3  # a gap parts the second lead
    for points, lead, first in zip(drawn, (0, 1, 1), (0, 0, 340), strict=True):
        values = samples[lead, first : first + len(points)]
        shown_s = (points[:, 0] - points[0, 0]) / MM_PER_S
        assert np.abs(shown_s - np.arange(len(points)) / fs).max() < 1e-3
        assert np.abs((points[0, 1] - points[:, 1]) / 10.0 - (values - values[0])).max() < 2e-3
    assert svg.get("style") == "width:179mm"
    (onset,) = (one for one in svg.iter(f"{SVG}line") if one.get("class") == "onset")
    assert float(onset.get("x1") or 0) - drawn[0][0, 0] == pytest.approx(1.5 * MM_PER_S)


def test_a_peak_keeps_its_height_at_a_high_rate() -> None:
    """Points are left out above 250 Hz, and never the highest."""
    samples = np.zeros((1, 7000), dtype=np.float32)
    samples[0, 3501] = 1.5
    shown = Shown(begin_s=0.0, samples=samples, fs_hz=1000.0, leads=["II"])
    svg = ElementTree.fromstring(str(strip("s", "title", shown)))
    (line,) = (one for one in svg.iter(f"{SVG}polyline") if one.get("class") == "trace")
    y = np.array([pair.split(",")[1] for pair in (line.get("points") or "").split()], dtype=float)

    assert y.max() - y.min() == pytest.approx(15.0, abs=0.01)
    assert len(y) <= 7 * 250


@given(st.text(max_size=50))
def test_a_footer_ends_neither_its_text_nor_the_style(text: str) -> None:
    """Whatever a recording is called, the sheet's footer is one string of CSS."""
    whole = document("title", text, [])

    assert whole.count("</style>") == 1
    (content,) = re.findall(r'@bottom-left \{ content: "([^"]*)"; \} @bottom-right', whole)
    assert re.fullmatch(r"(?:[A-Za-z0-9]|\\[0-9a-f]{6})*", content)


def test_labels_of_time_never_touch() -> None:
    """Of an axis, each label ends before the next one begins, and inside the picture."""
    none = np.zeros(0)
    for duration_s in (5.0, 119.0, 120.0, 1805.0, 86_400.0, 90_000.0, 700_000.0):
        for start in (None, datetime(2026, 3, 1, 17, 30, 12)):
            rates = Rates(none, none, none, none, "single intervals")
            svg = ElementTree.fromstring(str(rate_chart(rates, [], duration_s, start, 10)))
            labels = [
                (float(one.get("x") or 0), 1.45 * len(one.text or ""))
                for one in svg.iter(f"{SVG}text")
                if one.get("class") == "label middle"
            ]
            edges = [edge for x, wide in labels for edge in (x - wide / 2, x + wide / 2)]
            assert len(labels) >= 2
            assert edges == sorted(edges)
            assert edges[0] >= 0
            assert edges[-1] <= WIDTH


@given(st.text(max_size=50))
def test_escaped_text_is_inert_and_says_the_same(text: str) -> None:
    """It parses as XML, as one text without elements, and keeps what can be shown."""
    element = ElementTree.fromstring(f"<t>{escaped(text)}</t>")

    assert len(element) == 0
    shown = [char for char in text if char.isprintable() and char != "\r"]
    kept = list(element.text or "")
    assert [char for char in kept if char.isprintable() and char != "\ufffd"] == [
        char for char in shown if char != "\ufffd"
    ]


@settings(max_examples=200)
@given(st.floats(1.0, 2e6))
def test_an_axis_of_time_has_few_marks_in_order(duration_s: float) -> None:
    """Within the recording, at most fourteen up to a week, and no two say the same."""
    marks = axis_marks(duration_s, None)

    assert [at for at, _ in marks] == sorted(at for at, _ in marks)
    assert all(0 <= at <= duration_s + 1e-6 for at, _ in marks)
    assert len({text for _, text in marks}) == len(marks)
    assert len(marks) <= 13 or duration_s > 12 * 86_400
