"""What `monitor show` draws of the signal around an alert."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from models.evaluation.report.strip_picture import draw_strip
from monitor.commands.running.recorded_strip import recorded_strip
from monitor.commands.running.show import picture, show_alert
from pipeline.errors import InputError
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.public import Alert, SignalStrip
from pipeline.signal.samples import in_blocks
from pipeline.signal.segmenter import Segmenter
from pipeline.stream.strips import StripRecorder, strip_of
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.logs import alert, strip
from tests.support.recorded import record
from tests.support.strips import read_back

CURVE = re.compile("[\u2801-\u28ff]{50}")


def of_leads(*names: str, used: str) -> SignalStrip:
    """Return ten seconds of several leads, each a sine of its own size, from 1 mV on."""
    sines = [[round(n * math.sin(i / 40), 3) for i in range(3600)] for n in range(1, 13)]
    first, *others = sines[: len(names)]
    return replace(strip(0), mv=first, leads=list(names), more_mv=[*others], lead=used)


def test_one_lead_has_no_name() -> None:
    """Its scale is all that stands beside the curve."""
    lines = list(picture(alert(1_800), strip(0)))
    assert [line[:8].strip() for line in lines if CURVE.search(line)] == [
        "1.0 mV", *[""] * 8, "0.0 mV",
    ]  # fmt: skip
    assert lines[-2].index("▲") == 9 + 50


def test_leads_are_drawn_under_each_other() -> None:
    """Each with its name and scale, the one in use marked, on one time axis."""
    lines = list(picture(alert(1_800), of_leads("II", "V1", "V5", used="V1")))
    labels = [line[:8].rstrip() for line in lines if line[:8].strip()]

    assert labels == [
        "  1.0 mV", "  II", " -1.0 mV",
        "  2.0 mV", "▸ V1", " -2.0 mV",
        "  3.0 mV", "  V5", " -3.0 mV",
    ]  # fmt: skip
    assert sum("▲" in line for line in lines) == 1
    assert lines[-1].split() == ["0:00.0", "0:10.0"]


def test_lead_that_was_off_says_so() -> None:
    """A blank would look as if the drawing had failed."""
    off = replace(of_leads("II", "V1", used="V1"), mv=[None] * 3600)
    lines = list(picture(alert(1_800), off))

    assert lines[1] == "  II     no signal"
    assert lines[3][:8].strip() == "2.0 mV"


def test_name_of_a_lead_steers_no_terminal() -> None:
    """A log may come from anybody."""
    lines = "".join(picture(alert(1_800), of_leads("II", "\x1b[2J\u202e", used="II")))
    assert "\x1b" not in lines
    assert "\u202e" not in lines


def test_log_keeps_twelve_leads_of_an_alert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They come out of it as they went in, as lines and as a picture."""
    names = [f"L{lead}" for lead in range(1, 13)]
    path, png = tmp_path / "log.sqlite", tmp_path / "alert.png"
    with AlertLog(path) as log:
        log.commit(Commit(alerts=[alert(1_800)]))
        log.commit(Commit(strips=[(1, of_leads(*names, used="L7"))]))
        assert log.strip(1) == of_leads(*names, used="L7")
    show_alert(1, endpoint="", log=path, png=png, as_json=False)
    shown = re.findall(r"^[▸ ] L\d+", capsys.readouterr().out, re.MULTILINE)

    assert [line.split()[-1] for line in shown] == names
    assert [line for line in shown if "▸" in line] == ["▸ L7"]
    assert png.read_bytes().startswith(b"\x89PNG")


def test_picture_grows_with_the_leads(tmp_path: Path) -> None:
    """Bytes 16 to 24 of a PNG are its width and its height; names are no formulas."""
    sizes = []
    for names in (["II", r"$\lead$"], ["II", "V1", "V5"]):
        draw_strip(tmp_path / "leads.png", alert(1_800), of_leads(*names, used="II"))
        header = (tmp_path / "leads.png").read_bytes()[16:24]
        sizes.append((int.from_bytes(header[:4]), int.from_bytes(header[4:])))
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1]


def recorded(folder: Path) -> tuple[SignalStrip, Alert]:
    """Record a minute of two leads; return what a log keeps around an alert, and the alert."""
    fs, leads = 250.0, ("II", "V1")
    patient = SyntheticPatient(PatientConfig(fs=fs, leads=leads, seed=3))
    samples = patient.generate(round(60 * fs)).samples
    record(folder, in_blocks(samples, 250), fs, leads, 1.8e9, stream="bed1", log_id="log")
    segmenter, kept = Segmenter(fs, leads=2), StripRecorder("bed1", leads=leads)
    for block in in_blocks(np.rint(1e3 * samples) / np.float32(1e3), 250):
        kept.add(strip_of(0, segmenter.push(block)))
    about = alert(10_000, stream="bed1", time_s=40.0, log_id="log")
    return read_back(kept.published(35 * 360, 45 * 360, 40 * 360)), about


def test_the_signal_is_taken_from_a_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the log would have kept, also of an alert of which it kept none."""
    kept, about = recorded(tmp_path / "recording")
    strip = recorded_strip(tmp_path / "recording", about)

    assert (strip.first_sample, strip.leads, strip.lead) == (kept.first_sample, ["II", "V1"], "II")
    np.testing.assert_allclose(strip.signals, kept.signals, atol=0.005)
    with AlertLog(tmp_path / "log.sqlite") as log:
        log.commit(Commit(alerts=[about]))
    of_another_log = tmp_path / "log.sqlite"
    with pytest.raises(InputError, match=r"no signal of alert 1, stream bed1, at 40\.0 s: name"):
        show_alert(
            1, endpoint="", log=of_another_log, png=None, as_json=False,
            recording=tmp_path / "recording",
        )  # fmt: skip
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "facts", [{"stream": "bed2"}, {"epoch": 1}, {"sample": 10**6}, {"log_id": "other"}]
)
def test_a_recording_of_something_else_is_refused(tmp_path: Path, facts: dict[str, Any]) -> None:
    """Never the signal of another stream, run or time."""
    _, about = recorded(tmp_path)

    with pytest.raises(InputError, match="has no signal of alert"):
        recorded_strip(tmp_path, replace(about, **facts))
