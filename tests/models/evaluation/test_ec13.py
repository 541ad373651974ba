"""Test waveforms of monitors: what is measured, what is asked, and what the table says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from models.evaluation.report.ec13 import NO_CLAIM, ec13_sections
from models.evaluation.report.markdown import markdown
from models.evaluation.stress import ec13
from models.evaluation.stress.ec13 import WaveformFigure, figure, shown_rate, tolerance_bpm
from models.evaluation.stress.shown import Shown
from models.evaluation.stress.waveforms import Pulse
from models.measure.provenance import provenance
from monitor.cli import app as cli


def shown(bpm: list[float], beats_s: list[float] | None = None) -> Shown:
    """Return what a signal brought about: a rate each second, and beats."""
    times = np.arange(1.0, len(bpm) + 1.0)
    return Shown(float(len(bpm)), [], np.array(beats_s or []), times, np.array(bpm))


def test_what_never_came_keeps_no_bound() -> None:
    """None and NaN are figures without a value, and broken bounds; without bounds nothing is."""
    assert figure("w", "x", None, "s", at_most=10.0).kept is False
    assert figure("w", "x", float("nan"), "bpm", at_least=1.0).kept is False
    assert figure("w", "x", float("nan"), "bpm", at_least=1.0).value is None
    assert figure("w", "x", 3.0).kept is None
    assert figure("w", "x", 3.0, at_least=1.0, at_most=2.0).kept is False
    assert figure("w", "x", 2.0, at_least=1.0, at_most=2.0).kept is True


def test_rate_may_be_off_by_ten_percent_or_five() -> None:
    """The larger of both, as monitors state it; no rate is a wrong one."""
    assert tolerance_bpm(30.0) == 5.0
    assert tolerance_bpm(120.0) == 12.0
    assert shown_rate("w", shown([80.0, 131.0]), 120.0, 2.5).kept is True
    assert shown_rate("w", shown([80.0, 133.0]), 120.0, 2.5).kept is False
    assert shown_rate("w", shown([120.0, np.nan]), 120.0, 2.5).kept is False


def test_rate_that_leaves_again_has_not_settled() -> None:
    """The response ends where the rate is right and stays so, and never where it ends wrong."""
    assert shown([80, 90, 110, 119, 90, 118, 121]).settled_s(120.0, 12.0, 0.5) == 5.5
    assert shown([80, 119, 121, np.nan]).settled_s(120.0, 12.0, 0.5) is None


def test_missed_and_extra_beats_both_count() -> None:
    """One missed and two that are none: three; outside of the time nothing counts."""
    true = np.array([1.0, 2.0, 3.0, 4.0, 9.0])
    found = shown([0.0] * 9, [0.5, 1.05, 2.1, 2.5, 3.5, 4.0])

    assert found.miscounted(true, 0.9, 5.0) == 3


def test_asystole_and_steady_rates_are_within_their_bounds() -> None:
    """What is asked of every monitor: the alarm in time, and rates from 30 to 300 bpm.

    A stream that begins so fast raises no asystole.
    """
    figures = [*ec13.asystole(), *ec13.rates()]

    assert [(one.waveform, one.what) for one in figures if one.kept is False] == []
    assert all(one.value is not None for one in figures[:2])


@pytest.mark.parametrize(
    "pulse",
    [
        Pulse(700.0, 0.002),
        Pulse(-20.0, 0.0005),
        Pulse(700.0, 0.002, 2.0, 0.03),
        Pulse(1.0, 0.01, 0.2, 0.03, filtered=True),
        Pulse(-5.0, 0.008, 1.0, 0.1, filtered=True),
    ],
)
def test_pacing_pulses_hide_no_standstill_and_no_slow_heart(pulse: Pulse) -> None:
    """Loss of capture is an asystole within 10 s; the rate is that of the QRS complexes."""
    delay_s = ec13._ineffective(pulse)
    assert delay_s is not None
    assert delay_s <= ec13.ALARM_WITHIN_S
    assert ec13._effective(pulse) == 0.0
    assert ec13._over_slow_rhythm(pulse) < 5.0


def test_failures_are_shown_and_no_conformity_is_claimed() -> None:
    """A broken bound stands out in the table, what has none has none, and the claim is denied."""
    figures = [
        figure("a", "alarm", None, "s", at_most=10.0),
        figure("b", "rate", 80.0, "bpm", at_least=72.0, at_most=88.0),
        figure("c", "for information", 1.0, "mV"),
    ]

    text = markdown(ec13_sections(figures, provenance()))

    assert "| a: alarm | never | ≤ 10 s | **no** |" in text
    assert "| b: rate | 80 bpm | 72 to 88 bpm | yes |" in text
    assert "| c: for information | 1 mV |  |  |" in text
    assert NO_CLAIM in text
    assert "1 of 2 bounds are kept" in text


def test_the_command_prints_and_writes_every_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One object a line, and a row of the document for each; no data are needed."""

    def two() -> list[WaveformFigure]:
        return [figure("a", "x", 1.0, at_most=0.0), figure("b", "y", 2.0)]

    monkeypatch.setattr(ec13, "TESTS", (lambda: iter(two()),))
    monkeypatch.setattr(ec13.TESTS[0], "__name__", "two", raising=False)
    document = tmp_path / "page.md"
    document.write_text("<!-- ec13: written by a command -->\n<!-- end of ec13 -->\n")
    options = ("--json", "--report", str(document))
    monkeypatch.setattr(sys, "argv", ["monitor", "evaluate", "ec13", *options])
    with pytest.raises(SystemExit) as left:
        cli.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert not left.value.code
    assert [line["waveform"] for line in lines] == ["a", "b"]
    assert lines[0]["kept"] is False
    rows = document.read_text().splitlines()
    assert any(row.startswith("| a: x | 1 |") for row in rows)
    assert any(NO_CLAIM in row for row in rows)
