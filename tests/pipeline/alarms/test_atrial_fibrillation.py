"""Atrial fibrillation: irregular without a pattern and without P waves, for as long as asked."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alarms.atrial_alarms import AtrialAlarms
from pipeline.alarms.atrial_fibrillation import (
    CONTINUES_ABOVE,
    LATEST_ALIKE,
    MIDDLE_BEATS,
    UNKNOWN_S,
    AtrialBeats,
    AtrialChange,
    AtrialMeasures,
    AtrialRhythm,
    AtrialState,
    without_p_waves,
)
from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.errors import SnapshotError
from pipeline.schema.state import decode, encode
from pipeline.scoring.beat import InLeads
from pipeline.signal.kernels import atrial as kernel
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segmenter import Segmenter
from replay.records import read_lead
from tests.support.databases import database

FS: Final = 250.0
_TICKS: Final = (np.arange(320) - 140) / 360.0


def window(
    rng: np.random.Generator, *, p_mv: float = 0.12, pr_s: float = 0.16, wide: bool = False
) -> NDArray[np.float32]:
    """Return a beat as the segmenter has it: QRS, T, perhaps a P wave, else waves of 6 Hz."""
    qrs = np.exp(-0.5 * (_TICKS / (0.045 if wide else 0.012)) ** 2)
    x = qrs - 0.3 * np.exp(-0.5 * ((_TICKS - (0.12 if wide else 0.03)) / 0.02) ** 2)
    x += (-0.4 if wide else 0.25) * np.exp(-0.5 * ((_TICKS - 0.3) / 0.05) ** 2)
    if p_mv and not wide:
        x += p_mv * np.exp(-0.5 * ((_TICKS + pr_s) / 0.022) ** 2)
    if not p_mv:
        x += 0.05 * np.sin(2 * np.pi * 6.0 * _TICKS + rng.uniform(0, 2 * np.pi))
    x += 0.01 * rng.normal(size=x.size)
    scaled: NDArray[np.float32] = (2 * (x - x.min()) / np.ptp(x) - 1).astype(np.float32)
    return scaled


class Heart:
    """Feeds beats to a rhythm and collects what it says."""

    def __init__(self, **settings: float) -> None:
        self.rhythm = AtrialRhythm(AlarmSettings(**settings), FS)  # type: ignore[arg-type]
        self.rng = np.random.default_rng(3)
        self.sample = 0
        self.found: list[tuple[float, AtrialChange]] = []

    def beats(self, intervals_s: Sequence[float], windows: Sequence[NDArray[np.float32]]) -> None:
        """Let beats come after these intervals."""
        for rr_s, one in zip(intervals_s, windows, strict=True):
            self.sample += round(rr_s * FS)
            changes = self.rhythm.on_beat(self.sample, rr_s, one, usable=True)
            self.found += [(self.sample / FS, change) for change in changes]

    def sinus(self, beats: int, rr_s: float = 0.8, swing: float = 0.03) -> None:
        """Let a sinus rhythm come, which breathes."""
        n = np.arange(beats)
        intervals = rr_s + swing * np.sin(2 * np.pi * n / 5) + 0.01 * self.rng.normal(size=beats)
        self.beats(intervals.tolist(), [window(self.rng) for _ in n])

    def fibrillation(self, beats: int, rr_s: float = 0.7) -> None:
        """Let a fibrillating rhythm come."""
        intervals = np.maximum(rr_s * (1 + 0.22 * self.rng.normal(size=beats)), 0.35)
        self.beats(intervals.tolist(), [window(self.rng, p_mv=0.0) for _ in intervals])

    @property
    def active(self) -> list[float]:
        """When it said that the heart fibrillates."""
        return [at_s for at_s, change in self.found if change.active]


def test_fibrillation_is_said_after_its_delay_and_dated_where_it_began() -> None:
    """Within 45 s of the beginning, and its end within as many beats as are looked at."""
    heart = Heart()
    heart.sinus(80)
    began_s = heart.sample / FS
    heart.fibrillation(150)
    over_s = heart.sample / FS
    heart.sinus(80)
    assert began_s + 20 <= heart.active[0] <= began_s + 45
    assert heart.found[0][1].begun_at / FS == pytest.approx(began_s, abs=10)
    [(said_s, end)] = [(at_s, change) for at_s, change in heart.found if not change.active]
    assert said_s <= over_s + 0.85 * kernel.BEATS
    assert end.begun_at / FS == pytest.approx(over_s, abs=10)


@pytest.mark.parametrize("delay_s", [0.0, 60.0])
def test_delay_is_that_of_the_settings(delay_s: float) -> None:
    """It counts from where the fibrillation began."""
    heart = Heart(atrial_fibrillation_delay_s=delay_s)
    heart.sinus(80)
    heart.fibrillation(150)
    first_s, change = heart.found[0]
    assert first_s - change.begun_at / FS >= delay_s
    assert first_s - change.begun_at / FS <= delay_s + 20


@pytest.mark.parametrize(
    ("rr_s", "swing"), [(0.8, 0.0), (1.0, 0.15), (0.6, 0.03), (0.45, 0.01), (1.3, 0.2)]
)
def test_sinus_rhythm_is_none(rr_s: float, swing: float) -> None:
    """Slow or fast, even where breathing makes it very irregular."""
    heart = Heart()
    heart.sinus(200, rr_s, swing)
    assert heart.found == []


@pytest.mark.parametrize("every", [2, 3, 4])
def test_ventricular_ectopy_is_none(every: int) -> None:
    """Bigeminy, trigeminy, quadrigeminy: each ectopic beat early and wide, a pause behind it."""
    heart = Heart()
    for n in range(240):
        early, after = n % every == every - 1, n % every == 0
        rr_s = 0.5 if early else 1.1 if after else 0.8
        rr_s += 0.02 * float(heart.rng.normal())
        heart.beats([rr_s], [window(heart.rng, wide=early)])
    assert heart.found == []


@pytest.mark.parametrize("every", [2, 3])
def test_supraventricular_bigeminy_and_trigeminy_are_none(every: int) -> None:
    """The QRS complexes are alike, but the intervals repeat, and late beats have their P wave."""
    heart = Heart()
    for n in range(240):
        early, after = n % every == every - 1, n % every == 0
        rr_s = 0.55 if early else 0.95 if after else 0.8
        rr_s += 0.02 * float(heart.rng.normal())
        heart.beats([rr_s], [window(heart.rng, pr_s=0.13 if early else 0.18)])
    assert heart.found == []


Beats = list[tuple[float, NDArray[np.float32]]]


def frequent_ectopy(rng: np.random.Generator, runs: int) -> Beats:
    """Return runs of up to nine atrial beats of three foci, one or two sinus beats between them."""
    beats: Beats = []
    for _ in range(runs):
        for _ in range(int(rng.integers(1, 10))):
            p_mv, pr_s = [(-0.1, 0.12), (0.06, 0.12), (0.12, 0.22)][int(rng.integers(3))]
            beats.append((float(rng.uniform(0.4, 0.65)), window(rng, p_mv=p_mv, pr_s=pr_s)))
        for n in range(int(rng.integers(1, 3))):
            rr_s = (0.85 if n else 0.95) + 0.03 * float(rng.normal())
            beats.append((rr_s, window(rng)))
    return beats


def fibrillating(rng: np.random.Generator, n: int) -> Beats:
    """Return beats of atrial fibrillation."""
    intervals = np.maximum(0.7 * (1 + 0.22 * rng.normal(size=n)), 0.35)
    return [(float(rr_s), window(rng, p_mv=0.0)) for rr_s in intervals]


def test_beats_that_come_latest_show_the_p_wave_of_the_sinus_node() -> None:
    """Where most beats are ectopic the others hide it; in fibrillation there is none."""
    rng = np.random.default_rng(3)
    alike = []
    for beats in (frequent_ectopy(rng, 30), fibrillating(rng, 150)):
        measures = AtrialMeasures(AtrialBeats.fresh())
        rows = [measures.of_beat(rr_s, one, usable=True) for rr_s, one in beats]
        known = np.array([row for row in rows[40:] if row is not None])
        alike.append(known[:, [kernel.P_ALIKE, kernel.LATEST_P_ALIKE]].mean(axis=0))
    ectopic, fibrillation = alike
    assert ectopic[1] > 0.6 > ectopic[0] + 0.2
    assert np.abs(fibrillation).max() < 0.15


def test_p_waves_before_the_latest_beats_speak_against_fibrillation() -> None:
    """More than their part in the alarm: frequent ectopy is as irregular as fibrillation."""
    found = []
    for ectopic in (True, False):
        heart = Heart()
        beats = frequent_ectopy(heart.rng, 30) if ectopic else fibrillating(heart.rng, 150)
        evidence = []
        for rr_s, one in beats:
            heart.beats([rr_s], [one])
            evidence.append((heart.rhythm.evidence, heart.rhythm.evidence_without_p))
        found.append(np.array(evidence[40:]).mean(axis=0))
    (ectopic_alarm, ectopic_without), (alarm, without) = found
    assert ectopic_without < -1.0 < ectopic_alarm
    assert without == pytest.approx(alarm, abs=0.2)
    assert alarm > 2.0


@pytest.mark.parametrize("evidence", [-8.0, 0.0, 8.0])
def test_evidence_without_p_waves_is_the_odds_of_both(evidence: float) -> None:
    """Of fibrillation, and of no P wave; the same where there surely is none, or nothing known."""
    both = without_p_waves(evidence, LATEST_ALIKE)
    assert 1 / (1 + np.exp(-both)) == pytest.approx(0.5 / (1 + np.exp(-evidence)))
    assert without_p_waves(evidence, -1.0) == pytest.approx(evidence, abs=0.01)
    assert without_p_waves(evidence, 0.9) < -4.0
    assert np.isnan(without_p_waves(np.nan, 0.5))
    for forged in (np.nan, np.inf, -np.inf):
        without_p_waves(evidence, forged)
        without_p_waves(forged, 0.5)


def test_scattered_supraventricular_ectopy_is_none() -> None:
    """One beat in four early by chance: no pattern, but a P wave before all others."""
    heart = Heart()
    early = False
    for _ in range(300):
        after, early = early, heart.rng.random() < 0.25
        rr_s = 0.55 if early else 0.95 if after else 0.8
        rr_s += 0.02 * float(heart.rng.normal())
        heart.beats([rr_s], [window(heart.rng, pr_s=0.11 if early else 0.18)])
    assert heart.found == []


def test_fibrillation_with_ventricular_ectopy_is_still_found() -> None:
    """Its wide beats are left out; what lies between them is irregular."""
    heart = Heart()
    intervals = np.maximum(0.7 * (1 + 0.22 * heart.rng.normal(size=200)), 0.35)
    wide = heart.rng.random(200) < 0.12
    heart.beats(intervals.tolist(), [window(heart.rng, p_mv=0.0, wide=bool(one)) for one in wide])
    assert heart.active


def test_too_little_known_neither_begins_nor_ends_it() -> None:
    """Beats in noise change nothing; after 30 s without one that counts it is over, as unknown."""
    heart = Heart()
    heart.fibrillation(120)
    assert heart.found[-1][1].active
    noise = window(heart.rng)
    last = heart.rhythm.state.known_at
    assert last is not None
    for n in range(kernel.BEATS + 8):
        last = heart.rhythm.state.known_at or last
        heart.sample += round(0.3 * FS)
        changes = list(heart.rhythm.on_beat(heart.sample, np.nan, noise, usable=False))
        assert [change for change in changes if not change.active] == [], n
    known_at = heart.rhythm.state.known_at
    assert known_at is not None
    assert list(heart.rhythm.advance(known_at + round(UNKNOWN_S * FS))) == []
    [over] = heart.rhythm.advance(known_at + round(UNKNOWN_S * FS) + 1)
    assert not over.active
    assert over.begun_at == known_at
    assert list(heart.rhythm.advance(known_at + 10 * round(UNKNOWN_S * FS))) == []


def test_share_of_time_counts_what_lasted_for_the_delay() -> None:
    """From where it began, as a part of the time that was assessed."""
    heart = Heart()
    assert heart.rhythm.state.share is None
    heart.sinus(100)
    assert heart.rhythm.state.share == 0.0
    began = heart.sample
    heart.fibrillation(300)
    fibrillated = heart.sample - began
    heart.sinus(100)
    share = heart.rhythm.state.share
    assert share == pytest.approx(fibrillated / heart.sample, abs=0.08)
    heart.rhythm.reset()
    assert heart.rhythm.state.share == share


def test_rhythm_continues_from_a_saved_state() -> None:
    """Saved between any two beats, it says the same."""
    whole, parts = Heart(), Heart()
    for heart in (whole, parts):
        for beats in (7, 40, 3, 60):
            heart.fibrillation(beats)
            if heart is parts:
                state = decode(1, encode(1, heart.rhythm.state), AtrialState)
                heart.rhythm = AtrialRhythm(DEFAULTS, FS, state)
    assert whole.active
    assert parts.found == whole.found


def test_state_with_places_out_of_range_is_refused() -> None:
    """The kernel does not look whether an index lies within its array."""
    state = AtrialState.fresh()
    state.leads[0].counters[kernel.AT] = kernel.BEATS
    with pytest.raises(SnapshotError, match="out of range"):
        AtrialRhythm(DEFAULTS, FS, state)


def test_alarm_is_medium_and_ends_where_the_rhythm_changed() -> None:
    """With its evidence and the limit; not raised a second time while it lasts."""
    heart = Heart()
    machine = AlarmStateMachine("s", FS, DEFAULTS)
    alarms = AtrialAlarms(machine, FS, DEFAULTS, heart.rhythm.state)
    alerts = []
    for phase in range(2):
        for _ in range(120):
            rr_s = max(0.7 + 0.15 * float(heart.rng.normal()), 0.35) if phase == 0 else 0.8
            heart.sample += round(rr_s * FS)
            beat = window(heart.rng, p_mv=0.12 * phase)
            alerts += alarms.on_beat(heart.sample, rr_s, beat, usable=True)
    on, off = alerts
    assert (on.kind, on.priority, on.state) == ("atrial_fibrillation", "medium", "on")
    assert on.reason == "irregular without P waves for 30 s"
    assert on.values is not None
    assert on.values["evidence"] > CONTINUES_ABOVE
    assert (off.state, off.reason) == ("off", "regular again, or P waves")
    assert off.time_s < (heart.sample / FS) - 0.8 * MIDDLE_BEATS


def fibrillating_share(record: str) -> float:
    """Return the share of a record of mitdb that is fibrillation, by the first lead."""
    info, x = read_lead(database("mitdb") / record, 0)
    segment = Segmenter(info.fs_hz).push(SampleBlock(0, x))
    rhythm = AtrialRhythm(DEFAULTS, info.fs_hz)
    for b, sample in enumerate(segment.samples.tolist()):
        usable = segment.reasons[b] == 0
        rr_s = float(segment.rr_s[b])
        list(rhythm.on_beat(sample, rr_s, segment.windows[b], usable=bool(usable)))
    assert rhythm.state.share is not None
    return rhythm.state.share


@pytest.mark.parametrize(("record", "least", "most"), [("219", 0.7, 0.95), ("106", 0.0, 0.05)])
def test_share_of_patients(record: str, least: float, most: float) -> None:
    """Record 219 fibrillates for 79 % of its time; 106 has bigeminy and ectopy, and does not."""
    assert least <= fibrillating_share(record) <= most


def test_measures_are_those_of_the_intervals() -> None:
    """Rate, steps and share of large ones, by hand; an odd beat takes both its intervals along."""
    rng = np.random.default_rng(1)
    measures = AtrialMeasures(AtrialBeats.fresh())
    row = None
    for rr_s in [np.nan, *[0.8, 0.9] * 8]:
        row = measures.of_beat(float(rr_s), window(rng), usable=True)
    assert row is not None
    assert row[kernel.RATE] == pytest.approx(1 / 0.85)
    assert row[kernel.MEDIAN_STEP] == pytest.approx(np.log(0.1 / 0.85 + 0.004))
    assert row[kernel.UNEQUAL] == 1.0
    assert row[kernel.NEXT] == pytest.approx(-15 / 16)
    assert row[kernel.REPEATS] == pytest.approx(14 / 16)
    assert row[kernel.P_ALIKE] > 0.7
    assert row[kernel.ODD_SHARE] == 0.0

    measures = AtrialMeasures(AtrialBeats.fresh())
    for n in range(24):
        odd = n % 8 == 4
        rr_s = 0.4 if odd else 1.2 if n % 8 == 5 else 0.8
        row = measures.of_beat(rr_s, window(rng, wide=odd), usable=True)
    assert row is not None
    assert row[kernel.ODD_SHARE] == pytest.approx(3 / 24)
    assert row[kernel.UNEQUAL] == 0.0


def test_patients_in_turn_are_measured_as_each_alone() -> None:
    """Streams share their working memory: what is measured is that of the patient's own beats."""
    rng = np.random.default_rng(11)
    patients = fibrillating(rng, 60), frequent_ectopy(rng, 12)[:60]
    alone = []
    for beats in patients:
        measures = AtrialMeasures(AtrialBeats.fresh())
        alone.append([measures.of_beat(rr_s, one, usable=True) for rr_s, one in beats])
    each = [AtrialMeasures(AtrialBeats.fresh()) for _ in patients]
    for n, both in enumerate(zip(*patients, strict=True)):
        for its, wanted, (rr_s, one) in zip(each, alone, both, strict=True):
            np.testing.assert_array_equal(its.of_beat(rr_s, one, usable=True), wanted[n])


def test_beats_are_compared_within_one_lead() -> None:
    """Seen in one lead, then in the other, a rhythm is as regular as in each by itself."""
    alone, both = Heart(), Heart()
    both.rhythm = AtrialRhythm(DEFAULTS, FS, AtrialState.fresh(2))
    evidence = []
    rng = np.random.default_rng(7)
    for n in range(60):
        one, rr_s = window(rng), 0.8 + 0.01 * float(rng.normal())
        alone.beats([rr_s], [one])
        in_leads = InLeads(n // 5 % 2, np.stack((one, -one)), (True, True))
        list(both.rhythm.on_beat(round(n * FS), rr_s, one, usable=True, leads=in_leads))
        evidence.append((alone.rhythm.evidence, both.rhythm.evidence))
    known = [(a, b) for a, b in evidence if np.isfinite(a)]
    assert len(known) > 20
    assert max(b for _, b in known) < CONTINUES_ABOVE
    assert all(abs(a - b) < 1.0 for a, b in known[::10])
