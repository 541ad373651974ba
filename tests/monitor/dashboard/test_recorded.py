"""A frozen picture scrolls back through a recording, as files that a hub with --record wrote."""

import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from monitor.commands.running.recorded_strip import recorded_signal
from monitor.commands.running.watch import show_dashboard
from monitor.dashboard.options import DashboardOptions
from monitor.dashboard.stream_signal import Stretch
from monitor.dashboard.terminal.app import Dashboard, Monitor
from monitor.dashboard.terminal.look import Look
from monitor.dashboard.view import View
from monitor.run.recording import RecordFormat, Recording
from pipeline.errors import ConfigError, InputError
from pipeline.schema.public import Alert, Heartbeat, SignalStrip, Status
from pipeline.schema.requests import ControlReply, Show
from pipeline.signal.samples import in_blocks
from pipeline.signal.segmenter import Segmenter
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.monitor.dashboard.test_app import Fake, drive, shown, until
from tests.support.recorded import record

FS = 250
SECONDS, GAP = 300, (100, 110)
"""Of the recording, and what is missing of it."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Return a folder, and the signal as the hub had published it, at 360 Hz."""
    folder = tmp_path_factory.mktemp("recording")
    samples = SyntheticPatient(PatientConfig(fs=float(FS), seed=3)).generate(SECONDS * FS).samples
    missing = range(GAP[0] * FS, GAP[1] * FS)
    blocks = [one for one in in_blocks(samples, FS) if one.first_sample not in missing]
    record(folder, blocks, FS, ("II",), 1.8e9, stream="bed1", log_id="L")
    segmenter, published = Segmenter(FS, leads=1), np.full(SECONDS * 360, np.nan)
    for segment in (*map(segmenter.push, blocks), segmenter.finish()):
        end = segment.strip_first + segment.strips.shape[1]
        published[segment.strip_first : end] = segment.strips[0]
    return folder, published


def stretch(begin_s: float, end_s: float, **facts: object) -> Stretch:
    """Return a stretch of the recorded stream, or of another one."""
    return Stretch("bed1", "L", 0, begin_s, end_s)._replace(**facts)


@pytest.mark.parametrize("span", [(40.0, 66.0), (0.0, 6.0), (95.0, 121.0), (280.0, 306.0)])
def test_what_is_read_is_what_was_published(
    recording: tuple[Path, np.ndarray], span: tuple[float, float]
) -> None:
    """In the middle, from the beginning, over a gap, and up to the end of what is written."""
    folder, published = recording
    strip = recorded_signal(folder, stretch(*span))

    assert strip is not None
    first, n = strip.first_sample, len(strip.mv)
    assert first == round(span[0] * 360)
    assert first + n >= min(span[1], SECONDS - 1) * 360
    mv = np.array(strip.mv, dtype=float)
    expected = published[first : first + n]
    np.testing.assert_array_equal(np.isnan(mv), np.isnan(expected))
    np.testing.assert_allclose(mv, expected, atol=0.005)


@pytest.mark.parametrize(
    "facts", [{"stream": "bed2"}, {"log_id": "M"}, {"epoch": 1}, {"begin_s": 400.0, "end_s": 420.0}]
)
def test_of_another_stream_run_or_time_nothing_is_read(
    recording: tuple[Path, np.ndarray], facts: dict[str, object]
) -> None:
    """Never the signal of somebody else."""
    assert recorded_signal(recording[0], stretch(40.0, 66.0)._replace(**facts)) is None


def test_damaged_files_of_a_stream_are_refused_and_those_of_others_are_not_read(
    tmp_path: Path,
) -> None:
    """In one line; a header that is none of ours is no segment."""
    (samples,) = [SyntheticPatient(PatientConfig(fs=float(FS))).generate(30 * FS).samples]
    for name in ("bed1", "bed2"):
        record(tmp_path, in_blocks(samples, FS), FS, ("II",), 1.8e9, stream=name, log_id="L")
    whole = recorded_signal(tmp_path, stretch(10.0, 20.0))
    (other,) = tmp_path.glob("bed2-*.hea")
    other.write_bytes(b"\xff" * 100)
    (tmp_path / "x-20270115T080000Z.hea").symlink_to("/dev/zero")

    assert recorded_signal(tmp_path, stretch(10.0, 20.0)) == whole
    (data,) = tmp_path.glob("bed1-*.dat")
    data.unlink()
    with pytest.raises(InputError):
        recorded_signal(tmp_path, stretch(10.0, 20.0))


def test_an_alarm_of_which_no_strip_is_kept_is_shown_from_the_recording(
    recording: tuple[Path, np.ndarray],
) -> None:
    """A page that ends five seconds behind its beginning; without a recording, that is said."""
    acknowledged = Alert(
        stream="bed1", kind="pause", category="physiological", priority="medium", state="ack",
        sample=10_000, time_s=290.0, begin_s=40.0, reason="", episode="e", seq=9,
    )  # fmt: skip

    class Forgetful(Recorded):
        def ask(self, request):
            assert request == Show(seq=9)
            return ControlReply(alerts=[acknowledged])

    for read, expected in ((True, "FROZEN 0:45"), (False, "no signal is kept of alert 9")):
        fake = Forgetful(recording[0])
        fake.to_send.append(acknowledged)
        if not read:
            fake.read = None

        async def steps(app, pilot, expected=expected):
            see = partial(until, pilot)
            await see(lambda: "─ bed1 " in shown(app))
            await pilot.press("p")
            await see(lambda: expected in shown(app) and "READING" not in shown(app))

        drive(fake, steps)


def test_the_folder_of_a_recording_is_that_of_the_run_or_has_to_be_there(tmp_path: Path) -> None:
    """A run names its own to its dashboard; another dashboard is refused before it draws."""
    of_run = Recording(tmp_path / "rec", RecordFormat.EDF, None)
    assert of_run.watch_arguments() == ["--recording", str(tmp_path / "rec")]
    options = DashboardOptions()
    with pytest.raises(ConfigError, match=r"no folder '.*none': name that of --record"):
        show_dashboard(
            "tcp://127.0.0.1:1", from_seq=None, options=options, parent=None,
            recording=tmp_path / "none",
        )  # fmt: skip


class Recorded(Fake):
    """A monitor whose dashboard came four minutes late, beside its recording."""

    def __init__(self, folder: Path) -> None:
        strip = SignalStrip(
            stream="bed1", first_sample=240 * 360, fs_hz=360.0, mv=[0.0] * (60 * 360)
        )
        status = Status(stream="bed1", state="normal", fs_hz=250.0, sample=0, time_s=300.0)
        super().__init__(Heartbeat(log_id="L", last_seq=0, low_water_seq=1), status, strip)
        self.folder = folder
        self.stretches = []
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self, wanted):
        """Read the recording, once it may."""
        self.stretches.append(wanted)
        assert self.may_read.wait(60)
        return recorded_signal(self.folder, wanted)

    def dashboard(self, *, of_run=False, look=None, **view):
        """Return the program."""
        receives = {"receive": self.receive, "ask": self.ask, "stop": lambda: self.over}
        monitor = Monitor(recorded=self.read, **receives)
        return Dashboard(monitor, look or Look(), view=View(**view))


def test_a_frozen_picture_scrolls_back_to_the_beginning_of_the_recording(
    recording: tuple[Path, np.ndarray],
) -> None:
    """Far beyond what was received; a gap is a gap, and what was received is not read again."""
    fake = Recorded(recording[0])

    async def steps(app, pilot):
        see = partial(until, pilot)
        await see(lambda: "─ bed1 " in shown(app))
        await pilot.press("f", "left")
        await see(lambda: "FROZEN 4:59" in shown(app))
        assert fake.stretches == []
        await pilot.press("{")
        await see(lambda: "FROZEN 0:01" in shown(app) and "READING" not in shown(app))
        for _ in range(11):
            await pilot.press("]")
        await see(lambda: "FROZEN 1:51" in shown(app) and " gap " in shown(app))
        assert "READING" not in shown(app)
        await pilot.press("}")
        await see(lambda: "FROZEN 5:00" in shown(app))
        await pilot.press("space")
        await see(lambda: "FROZEN" not in shown(app))

    drive(fake, steps)
    assert {one[:3] for one in fake.stretches} == {("bed1", "L", 0)}


def test_nothing_waits_for_the_recording_to_be_read(recording: tuple[Path, np.ndarray]) -> None:
    """Keys do what they do; then the last place is read, and none of those passed by."""
    fake = Recorded(recording[0])

    async def steps(app, pilot):
        see = partial(until, pilot)
        await see(lambda: "─ bed1 " in shown(app))
        fake.may_read.clear()
        await pilot.press("{")
        await see(lambda: "READING" in shown(app))
        for _ in range(8):
            await pilot.press("]")
        await pilot.press("?")
        await see(lambda: "acknowledge all alarms" in shown(app))
        await pilot.press("x")
        await see(lambda: "FROZEN 1:21" in shown(app))
        fake.may_read.set()
        await see(lambda: "READING" not in shown(app))

    drive(fake, steps)
    assert [one.end_s for one in fake.stretches] == [6.0, 86.0]


@pytest.mark.parametrize("fault", [InputError("cannot read it"), OSError(5, "cannot read it")])
def test_a_recording_that_cannot_be_read_is_said_and_not_tried_again(
    tmp_path: Path, fault: Exception
) -> None:
    """Until somebody scrolls on; nor is there a picture of what nobody recorded."""
    fake = Recorded(tmp_path)

    def read(wanted):
        fake.stretches.append(wanted)
        if len(fake.stretches) == 1:
            raise fault

    fake.read = read

    async def steps(app, pilot):
        see = partial(until, pilot)
        await see(lambda: "─ bed1 " in shown(app))
        await pilot.press("{")
        await see(lambda: "cannot read it" in shown(app))
        await see(lambda: "FROZEN 0:01: NOT RECORDED" in shown(app).replace(", 299 s AGO", ""))
        await pilot.press("right")
        await see(lambda: "FROZEN 0:02" in shown(app) and "cannot" not in shown(app))
        assert len(fake.stretches) == 1
        await pilot.press("}")
        await pilot.press("[", "[", "[", "[", "[", "[", "[", "[", "[", "[")
        await see(lambda: len(fake.stretches) >= 2)
        await see(lambda: "NOT RECORDED" in shown(app))

    drive(fake, steps)
