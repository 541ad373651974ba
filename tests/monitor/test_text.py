"""Text from outside may be shown, but never controls the terminal."""

import itertools
import logging
import re
import sys
import unicodedata
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from monitor.alert_lines import record_line
from monitor.cli import app as cli
from monitor.commands.running.show import facts
from monitor.run.summary import ActiveAlarm, RunSummary, summary_lines
from monitor.text import REPLACEMENT, SafeLines, safe_text
from pipeline.errors import InputError, WireError
from pipeline.schema.messages import Chunk, decode, encode
from pipeline.schema.public import Alert, decode_alert, encode_json
from replay.records import write_beats

HOSTILE = [
    "\x1b]52;c;aGVsbG8=\x07",  # writes to the clipboard
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b2J",
    "a\x00b\tc\r\nd\x7fe",
    "abc\u202egnp.exe",
    "\u2066x\u2069\u200b\u200d\ufeff\u00ad",
    "\u2028\u2029",
    "\ud800",
    "[red]x[/red][/x][link=http://x]y",
    "e\u0301" * 500,
    "日本語" * 50,
    "\u1752",  # a combining mark with nothing to combine with
    "\U0001f44d\U0001f3fd\ufe0f",
]
PIECES = [*HOSTILE, "[/x]", "[bold", "\x1b[31m", "\U000e0041", "\u0085", "\ud83d", "V5", " ", "%s"]
STEERING = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
STEERING |= {0x061C, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF}


def check(text: str, limit: int) -> None:
    """Check the guarantees of `safe_text` for one text."""
    shown = safe_text(text, limit)
    assert not STEERING & {ord(char) for char in shown}
    assert cell_len(shown) <= limit
    assert len(shown) <= limit
    assert all(cell_len(char) > 0 for char in shown)
    shown.encode("utf-8")


@given(text=st.text(st.characters(), max_size=300), limit=st.integers(0, 80))
def test_no_text_controls_the_terminal_or_exceeds_its_limit(text: str, limit: int) -> None:
    """Controls, bidi and zero-width characters are removed, and the text fits."""
    check(text, limit)


def hostile_texts(n: int) -> Iterator[str]:
    """Yield texts made of attacks and single characters from all of Unicode."""
    random = np.random.default_rng(7)
    for _ in range(n):
        parts = [
            PIECES[random.integers(0, len(PIECES))]
            if random.random() < 0.5
            else chr(random.integers(0, 0x110000 if random.random() < 0.3 else 0x2100))
            for _ in range(random.integers(0, 12))
        ]
        yield "".join(parts)


def test_ten_thousand_texts_through_everything_that_prints() -> None:
    """Lines, facts, summaries and tables have no control bytes but colours; nothing raises."""
    texts = iter(hostile_texts(10_000))
    file = StringIO()
    console = Console(file=file, width=200, force_terminal=True, color_system="truecolor")
    shown = 0
    while True:
        fields = list(itertools.islice(texts, 10))
        if not fields:
            break
        a, b, c, d, e, f, g, h, i, j = fields
        alert = Alert(
            stream=a, kind=b, category=c, priority=d, state=e, sample=0, time_s=1.0, reason=f,
            episode=g, utc=h, event_utc=i, beat_class=j, values={j: 1.0}, shares={i: 1.0},
            class_probabilities={j: 0.5}, notice=h, leads={a: j},
        )  # fmt: skip
        summary = RunSummary(
            duration_s=1.0, wall_s=1.0, beats=0, beats_not_analysable=0, alerts={b: 1},
            alerts_missing=0, streams=[a], gap_samples=0, redelivered=0, scorer_restarts=0,
            standing=[ActiveAlarm(stream=a, kind=b, state=e, episode=g)], restarts={}, log="log",
            lead_states={a: {b: c}},
        )  # fmt: skip
        lines = [record_line(alert), *facts(alert), *summary_lines(summary)]
        assert not STEERING & {ord(char) for line in lines for char in line}
        console.print(Text.assemble(*(Text(safe_text(text)) for text in fields)))
        shown += 1
    plain = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert shown == 1000
    assert not (STEERING - {0x0A}) & {ord(char) for char in plain}


def test_a_line_of_json_is_safe_and_lossless() -> None:
    """Characters that could control a terminal are escaped, and decoded as they were."""
    for text in hostile_texts(2000):
        stream = text.encode("utf-8", "replace").decode()  # no lone surrogate is UTF-8
        alert = Alert(
            stream=stream, kind="k", category="c", priority="p", sample=0, time_s=0.0, reason=stream
        )
        body = encode_json(alert)
        assert not STEERING & {ord(char) for char in body.decode()}
        assert decode_alert(body) == alert


def test_no_label_on_the_wire_controls_a_terminal() -> None:
    """A lead with such characters is refused on arrival; letters of any language are accepted."""
    sample = np.zeros(1, np.float32)
    chunk = Chunk(stream="s", first_sample=0, fs_hz=360.0, samples=sample, lead="Ableitung µ 心")
    found = decode(encode(chunk))
    assert isinstance(found, Chunk)
    assert found.lead == chunk.lead
    for text in HOSTILE:
        lead = text.encode("utf-8", "replace").decode()[:64]
        message = encode(replace(chunk, lead=lead))
        if STEERING & {ord(char) for char in lead}:
            with pytest.raises(WireError):
                decode(message)
        else:
            assert decode(message).lead == lead
    with pytest.raises(WireError):
        decode(encode(replace(chunk, lead="x" * 65)))
    with pytest.raises(WireError):
        decode(encode(replace(chunk, stream="\x1b[2J")))


def test_an_error_is_one_safe_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """This holds for any content and any length."""
    for text in ("\x1b]52;c;aGk=\x07\nmonitor: all is well\u202e", "x" * 100_000):

        def fail(*_: object, error: str = text, **__: object) -> None:
            raise InputError(error)

        monkeypatch.setattr("monitor.commands.scan.scan_records", fail)
        monkeypatch.setattr(sys, "argv", ["monitor", "scan", "demo"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        stderr = capsys.readouterr().err
        assert left.value.code == 2
        assert stderr.count("\n") == 1
        assert len(stderr) < 3000
        assert not (STEERING - {0x0A}) & {ord(char) for char in stderr}


def test_a_message_of_the_log_is_one_safe_line() -> None:
    """Text from a peer cannot forge a second line or control the terminal of a reader."""
    record = logging.LogRecord(
        "n", logging.WARNING, "f", 1, "refused: %s", ("\x1b[2J\nmonitor: fine",), None
    )
    assert SafeLines("monitor: %(message)s").format(record) == (
        f"monitor: refused: {REPLACEMENT}[2J{REPLACEMENT}monitor: fine"
    )


def test_the_name_of_a_file_is_only_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record named like markup or an escape sequence is compared and shown as text."""
    for name in ("[blink]x", "[link=x]\x1b[2J"):
        beats = np.arange(100, 648_000, 300)
        write_beats(tmp_path, "r", "atr", beats, ["N"] * beats.size, 360.0)
        (tmp_path / "r.atr").rename(tmp_path / f"{name}.atr")
        (tmp_path / f"{name}.hea").write_text("r 1 360 648000\nr.dat 16\n")
    monkeypatch.setattr(
        sys, "argv", ["monitor", "evaluate", "ec57", "--data", str(tmp_path), "--test", "atr"]
    )
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = capsys.readouterr()
    assert (left.value.code or 0, shown.err) == (0, "")
    assert "[blink]x" in shown.out
    assert not (STEERING - {0x0A}) & {ord(char) for char in shown.out}


@pytest.mark.parametrize("text", HOSTILE)
def test_known_attacks_come_out_harmless(text: str) -> None:
    """Attacks that are known to work on terminals are replaced."""
    check(text, 64)


def test_ordinary_text_stays_as_it_is() -> None:
    """Letters of any language, numbers and signs are shown; markup is only text."""
    for text in ["100", "MLII", "[bold]x[/]", "Größe 3 µV", "心電図", "a\u0301b"]:
        assert safe_text(text) == unicodedata.normalize("NFC", text)


def test_each_unsafe_character_leaves_a_mark() -> None:
    """A U+FFFD replaces each character that is removed."""
    assert safe_text("a\x1b[0mb\u202ec") == f"a{REPLACEMENT}[0mb{REPLACEMENT}c"


def test_a_cut_is_shown() -> None:
    """Text that does not fit ends with an ellipsis in the last cell."""
    assert safe_text("x" * 65) == "x" * 63 + "…"
    assert safe_text("x" * 64) == "x" * 64
