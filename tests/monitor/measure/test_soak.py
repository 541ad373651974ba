"""The soak: its figures are those of the run, and the command runs a whole system."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from models.evaluation.report.markdown import markdown
from models.measure.result_json import from_json
from monitor.cli import app as cli
from monitor.measure.soak import (
    SECTION,
    Record,
    Size,
    SoakResult,
    slope,
    soak_result,
    soak_sections,
)
from pipeline.schema.public import Alert

pytestmark = pytest.mark.system

HOUR = np.arange(0.0, 3600.0, 2.0)


@pytest.mark.parametrize("growth", [0.0, 1.0, 20.0, -3.0])
def test_slope_is_the_growth_whatever_lone_peaks_there_are(growth: float) -> None:
    """In MiB a second; noise of a MiB and a peak of a hundred do not move it."""
    rng = np.random.default_rng(1)
    mib = 200.0 + growth * HOUR / 3600.0 + rng.normal(0.0, 1.0, HOUR.size)
    mib[::100] += 100.0
    assert 3600.0 * slope(HOUR, mib) == pytest.approx(growth, abs=0.5)


def test_growth_of_the_warm_up_does_not_count_and_is_shown() -> None:
    """A process that doubles in its first minutes and then stays; another that grows."""
    record = Record(at_s=3600.0)
    record.sizes = {
        "hub": [Size(at, min(200.0, 100.0 + at), 70) for at in HOUR],
        "source": [Size(at, 100.0 + at / 360.0, 8 + int(at > 1800.0)) for at in HOUR],
    }
    found = soak_result(record, 50, 20.0).processes

    assert found["hub"].mib_an_hour == pytest.approx(0.0, abs=0.01)
    assert found["hub"].mib_each_tenth == pytest.approx([200.0] * 10, abs=1.0)
    assert found["source"].mib_an_hour == pytest.approx(10.0, abs=0.01)
    assert found["source"].files == [8, 9]
    assert found["source"].mib_each_tenth == sorted(found["source"].mib_each_tenth)


def test_a_process_that_is_dead_is_left_out(tmp_path: Path) -> None:
    """While it is started again there is nothing to measure."""
    record = Record()
    record.record_sizes({"hub": os.getpid(), "source": 2**22 + 1}, tmp_path / "log")
    (size,) = record.sizes["hub"]
    assert size.mib > 1.0
    assert size.files >= 3
    assert "source" not in record.sizes


def test_holes_in_the_numbers_of_the_alerts_are_counted() -> None:
    """Alerts 1, 2 and 4: one hole."""
    record, last_seq = Record(), 0
    for seq in (1, 2, 4):
        alert = Alert(
            seq=seq, stream="s", kind="pause", category="physiological", priority="low",
            sample=1, time_s=1.0, reason="r",
        )  # fmt: skip
        last_seq = record.count(alert, last_seq)
    assert (record.alerts, record.gaps, last_seq) == (3, 1, 4)


@pytest.mark.timeout(180)
def test_command_runs_a_system_and_writes_what_came_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two streams for twelve seconds: nothing lost, the figures on stdout and in the document."""
    document = tmp_path / "reliability.md"
    document.write_text(
        f"before\n<!-- {SECTION}: written by a command -->\n\n<!-- end of {SECTION} -->\nbehind\n"
    )
    arguments = ["--minutes", "0.2", "--streams", "2", "--speed", "20", "--json"]
    monkeypatch.setattr(
        "sys.argv", ["monitor", "evaluate", "soak", *arguments, "--report", str(document)]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    found = json.loads(capsys.readouterr().out)

    assert ended.value.code == 0
    assert found["beats"] > 100
    assert found["reports"] > 5
    assert found["holes_in_the_alerts"] == found["reports_with_a_window_unaccounted_for"] == 0
    assert found["restarts"] == 0
    assert set(found["processes"]) == {"hub", "scorer", "source"}
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("behind\n")
    assert markdown(soak_sections(from_json(SoakResult, found))).strip() in text
