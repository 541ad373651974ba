"""Alarms of a patient with several leads: which electrode is off, what each lead said."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.schema.messages import FLAG_LEAD_OFF
from pipeline.schema.public import Alert
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import EmbeddedRunner, score_beats
from pipeline.stream.snapshot import pack, unpack
from pipeline.stream.stream import Stream
from pipeline.stream.stream_state import StreamState
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.running import CONFIG, TrivialScorer

FS = 360
LEADS = ("II", "V1")
OFF_S = (20.0, 26.0)


def patient(seconds: int = 40) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return both leads of a heart at 72 bpm, and flags that say nothing."""
    signal = SyntheticPatient(PatientConfig(leads=LEADS, seed=3)).generate(FS * seconds)
    return signal.samples, np.zeros(signal.samples.shape, dtype=np.uint8)


def off(
    x: NDArray[np.float32], flags: NDArray[np.uint8], lead: int, from_s: float, to_s: float
) -> None:
    """Take an electrode off: its unit reports it, and a line."""
    part = slice(round(from_s * FS), round(to_s * FS))
    x[lead, part], flags[lead, part] = 0.0, FLAG_LEAD_OFF


def alerts_of(
    x: NDArray[np.float32],
    flags: NDArray[np.uint8],
    chunk: int = FS,
    leads: tuple[str, ...] = LEADS,
) -> list[Alert]:
    """Return the alerts of a stream, without those of single beats."""
    runner = EmbeddedRunner("s", FS, TrivialScorer(), CONFIG, leads=leads)
    blocks = (
        SampleBlock(i, x[..., i : i + chunk], flags[..., i : i + chunk])
        for i in range(0, x.shape[-1], chunk)
    )
    alerts = [alert for outcome in runner.run(blocks) for alert in outcome.alerts]
    return [alert for alert in alerts if alert.kind != "anomalous_beat"]


def said(alerts: list[Alert], kind: str) -> list[tuple[str, str, dict[str, str] | None]]:
    """Return state, reason and the words of the leads of one kind of alarm."""
    return [(a.state, a.reason, a.leads) for a in alerts if a.kind == kind]


def test_one_electrode_off_is_named_and_the_watch_goes_on() -> None:
    """Low priority, with the lead that is watched; nothing about the heart, nothing unmonitored."""
    x, flags = patient()
    off(x, flags, 1, 10.0, 35.0)
    alerts = alerts_of(x, flags)

    assert {alert.kind for alert in alerts} == {"lead_off"}
    assert said(alerts, "lead_off") == [
        ("on", "electrode off: V1; II is watched", {"II": "analysable", "V1": "off"}),
        (
            "off",
            "electrode V1 is back; II and V1 are watched",
            {"II": "analysable", "V1": "analysable"},
        ),
    ]
    begun, ended = alerts
    assert (begun.priority, begun.category) == ("low", "technical")
    assert begun.time_s == pytest.approx(10.3, abs=0.5)
    assert ended.time_s == pytest.approx(36.0, abs=1.5)


def test_electrode_that_goes_off_is_reported_with_its_sample() -> None:
    """The beats go on in the other lead, and nothing else is due: no chunk of it passes unsaid."""
    x, flags = patient()
    off(x, flags, 1, 10.0, 35.0)
    stream, chunk = Stream("s", FS, CONFIG, lambda: 0.0, leads=LEADS), 36
    found = [
        (alert.state, alert.sample // chunk, first // chunk)
        for first in range(0, x.shape[1], chunk)
        for alert in stream.take(
            SampleBlock(first, x[:, first : first + chunk], flags[:, first : first + chunk])
        ).alerts
        if alert.kind == "lead_off"
    ]

    assert [state for state, _, _ in found] == ["on", "off"]
    assert [its for _, its, _ in found] == [at for _, _, at in found]


def test_electrode_that_is_off_when_samples_go_missing_is_not_said_to_be_back() -> None:
    """The alarm ends, for nothing is known of it, and begins again where it is seen to be off."""
    x, flags = patient()
    off(x, flags, 1, 10.0, 35.0)
    runner = EmbeddedRunner("s", FS, TrivialScorer(), CONFIG, leads=LEADS)
    blocks = (
        SampleBlock(i, x[:, i : i + FS], flags[:, i : i + FS]) for i in range(0, x.shape[1], FS)
    )
    kept = (block for block in blocks if not 20 * FS <= block.first_sample < 25 * FS)
    alerts = [alert for outcome in runner.run(kept) for alert in outcome.alerts]

    assert [(state, reason) for state, reason, _ in said(alerts, "lead_off")] == [
        ("on", "electrode off: V1; II is watched"),
        ("off", "samples are missing: nothing is known of the electrodes"),
        ("on", "electrode off: V1; no lead shows a QRS"),  # yet, so soon after the gap
        ("off", "electrode V1 is back; II and V1 are watched"),
    ]


def test_alarm_of_electrodes_says_when_another_goes_off() -> None:
    """One alarm from the first to the last: all off has the reason that one lead alone has."""
    x, flags = patient()
    off(x, flags, 1, 10.0, 30.0)
    off(x, flags, 0, *OFF_S)
    alerts = said(alerts_of(x, flags), "lead_off")

    assert [(state, reason) for state, reason, _ in alerts] == [
        ("on", "electrode off: V1; II is watched"),
        ("on", "electrode off"),
        ("on", "electrode off: V1; II is watched"),
        ("off", "electrode V1 is back; II and V1 are watched"),
    ]
    assert alerts[1][2] == {"II": "off", "V1": "off"}


def test_all_electrodes_off_at_once_is_one_alert_as_of_one_lead() -> None:
    """No lead is said to be watched in between, and ten seconds later the heart is unmonitored."""
    x, flags = patient()
    off(x, flags, 0, 10.0, 35.0)
    off(x, flags, 1, 10.0, 35.0)
    both, one = alerts_of(x, flags), alerts_of(x[0], flags[0], leads=("II",))

    assert sorted((a.kind, a.state, a.sample, a.begin_s) for a in both) == sorted(
        (a.kind, a.state, a.sample, a.begin_s) for a in one
    )
    assert said(both, "lead_off")[-1] == (
        "off",
        "electrodes II and V1 are back; II and V1 are watched",
        {"II": "analysable", "V1": "analysable"},
    )
    assert said(both, "lead_off")[0][:2] == said(one, "lead_off")[0][:2] == ("on", "electrode off")
    assert next(a.leads for a in both if a.kind == "unmonitored") == {"II": "off", "V1": "off"}
    assert all(a.leads is None for a in one)


def test_asystole_says_what_each_lead_showed() -> None:
    """A heart that stops while an electrode is off: the other lead alone shows no QRS."""
    x, flags = patient()
    x[:, 20 * FS : 26 * FS] = np.random.default_rng(1).normal(0, 0.01, (2, 6 * FS))
    both = said(alerts_of(x.copy(), flags), "asystole")
    off(x, flags, 1, 15.0, 32.0)
    one = said(alerts_of(x, flags), "asystole")

    assert [state for state, *_ in both] == [state for state, *_ in one] == ["on", "latched"]
    assert set(both[0][2].values()) <= {"no QRS", "flat line"}  # type: ignore[union-attr]
    assert one[0][2] in ({"II": "no QRS", "V1": "off"}, {"II": "flat line", "V1": "off"})


def test_a_lead_that_no_longer_beats_beside_one_that_does_is_no_asystole() -> None:
    """A line in one lead: the other goes on showing the heart."""
    x, flags = patient()
    x[1, 20 * FS : 32 * FS] = np.random.default_rng(1).normal(0, 0.01, 12 * FS)
    assert not said(alerts_of(x, flags), "asystole")


def flutter(seconds: float, hz: float = 4.5, mv: float = 0.8) -> NDArray[np.float32]:
    """Return a slowly wandering sine, as fibrillation nearly is."""
    t = np.arange(round(seconds * FS)) / FS
    phase = 2 * np.pi * (hz * t + 0.6 * np.sin(2 * np.pi * 0.3 * t))
    return (mv / 2 * (1 + 0.35 * np.sin(2 * np.pi * 0.21 * t)) * np.sin(phase)).astype(np.float32)


@pytest.mark.parametrize("lead", [0, 1])
def test_fibrillation_of_one_lead_alone_is_none(lead: int) -> None:
    """While another lead goes on showing the usual beats, in whichever the waves are."""
    x, flags = patient(60)
    x[lead, 20 * FS : 40 * FS] = flutter(20)
    alone = alerts_of(x[lead], flags[lead], leads=("II",))
    assert said(alone, "ventricular_fibrillation")

    assert not said(alerts_of(x, flags), "ventricular_fibrillation")


@pytest.mark.parametrize("other", ["fibrillates", "off", "flat"])
def test_fibrillation_of_all_leads_is_raised_as_early_as_of_one(other: str) -> None:
    """A lead that shows nothing says nothing against it; what fibrillates is said once."""
    x, flags = patient(60)
    there = slice(20 * FS, 40 * FS)
    x[0, there] = flutter(20)
    if other == "fibrillates":
        x[1, there] = flutter(20, hz=4.7, mv=0.5)
    elif other == "off":
        off(x, flags, 1, 20.0, 40.0)
    else:
        x[1, there] = np.random.default_rng(1).normal(0, 0.002, 20 * FS)
    kind = "ventricular_fibrillation"
    one = [a for a in alerts_of(x[0], flags[0], leads=("II",)) if a.kind == kind]
    both = [a for a in alerts_of(x, flags) if a.kind == kind]

    assert [a.state for a in both] == [a.state for a in one] == ["on", "latched"]
    assert both[0].time_s <= one[0].time_s
    assert both[1].time_s <= one[1].time_s + 2.0
    assert both[0].leads["II"] == "fibrillates"  # type: ignore[index]


@pytest.mark.parametrize("chunk", [61, 5 * FS, 60 * FS])
def test_chunks_change_no_alert(chunk: int) -> None:
    """What leads say, and when, goes by the samples."""
    x, flags = patient(60)
    off(x, flags, 1, 10.0, 30.0)
    off(x, flags, 0, *OFF_S)
    x[:, 32 * FS : 37 * FS] = np.random.default_rng(1).normal(0, 0.01, (2, 5 * FS))
    x[0, 38 * FS : 55 * FS], x[1, 46 * FS : 50 * FS] = flutter(17), flutter(4, hz=4.7)

    def facts(alerts: list[Alert]) -> list[tuple[object, ...]]:
        return sorted(
            (a.kind, a.sample, a.state, a.reason, str(a.leads), a.begin_s) for a in alerts
        )

    expected = facts(alerts_of(x, flags))
    assert {kind for kind, *_ in expected} >= {"lead_off", "asystole", "ventricular_fibrillation"}
    assert facts(alerts_of(x, flags, chunk)) == expected


def test_restart_changes_no_alert() -> None:
    """What leads said, what is usual in each and what is due are part of the state."""
    x, flags = patient(60)
    off(x, flags, 1, 10.0, 30.0)
    x[:, 32 * FS : 37 * FS] = np.random.default_rng(1).normal(0, 0.01, (2, 5 * FS))
    x[0, 38 * FS : 55 * FS], x[1, 46 * FS : 50 * FS] = flutter(17), flutter(4, hz=4.7)

    def watched(*, restarted: bool) -> list[str]:
        stream, alerts = Stream("s", FS, CONFIG, lambda: 0.0, leads=LEADS), []
        for i in range(0, x.shape[1], 500):
            if restarted:
                state = unpack(pack(stream.state), StreamState)
                stream = Stream("s", FS, CONFIG, lambda: 0.0, leads=LEADS, state=state)
            taken = stream.take(SampleBlock(i, x[:, i : i + 500], flags[:, i : i + 500]))
            score_beats(stream, taken.windows, TrivialScorer())
            alerts += taken.alerts + [a for beat in stream.drain() for a in beat.alerts]
        return [repr(alert) for alert in alerts]

    assert watched(restarted=True) == watched(restarted=False)


def test_stream_says_the_state_of_each_lead_and_which_is_in_use() -> None:
    """In a word, by name; a stream of one lead says nothing of it."""
    x, flags = patient(20)
    off(x, flags, 0, 12.0, 20.0)
    stream = Stream("s", FS, CONFIG, lambda: 0.0, leads=LEADS)
    stream.take(SampleBlock(0, x, flags))
    assert stream.lead_states == {"II": "off", "V1": "analysable"}
    assert stream.lead_in_use == "V1"

    one = Stream("s", FS, CONFIG, lambda: 0.0)
    one.take(SampleBlock(0, x[0], flags[0]))
    assert (one.lead_states, one.lead_in_use) == ({}, "")


@pytest.mark.parametrize("chunk", [FS // 50, 5 * FS])
def test_beat_says_which_leads_have_found_it(chunk: int) -> None:
    """By themselves: a tachycardia that one analysable lead does not show is motion."""
    x, _ = patient(20)
    x[1, 10 * FS :] = 0.02 * np.sin(np.arange(10 * FS) / 3.0)
    stream = Stream("s", FS, CONFIG, lambda: 0.0, leads=LEADS)
    beats = [
        beat
        for i in range(0, x.shape[1], chunk)
        for beat in stream.take(SampleBlock(i, x[:, i : i + chunk])).windows
    ]
    early = [beat.found_in for beat in beats if 3 * FS < beat.sample < 9 * FS]
    late = [beat.found_in for beat in beats if beat.sample > 12 * FS]
    assert len(early) > 5
    assert early == [[True, True]] * len(early)
    assert len(late) > 5
    assert late == [[True, False]] * len(late)
