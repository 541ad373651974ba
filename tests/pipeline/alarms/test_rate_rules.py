"""The rules of the heart rate: five slow beats, seventeen fast ones, limits with delay."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alarms.rate_rules import BRIDGED_S, RateChange, RateRules
from pipeline.alarms.settings import DEFAULTS, AlarmSettings

FS = 250.0


def found_in(rates_bpm: list[float], **settings: object) -> list[tuple[int, RateChange]]:
    """Return (beat, condition) for beats at the given rates, the first of no known interval."""
    rules = RateRules(AlarmSettings(**settings), FS)  # type: ignore[arg-type]
    sample = 1_000
    found = [(0, rate) for rate in rules.on_qrs(sample, np.nan)]
    for beat, bpm in enumerate(rates_bpm, 1):
        sample += round(60 * FS / bpm)
        found += [(beat, rate) for rate in rules.on_qrs(sample, 60 / bpm)]
    return found


def first(found: list[tuple[int, RateChange]], kind: str) -> int | None:
    """Return the beat with which a condition was there first."""
    return next((beat for beat, rate in found if rate.kind == kind and rate.active), None)


def test_five_slow_beats_are_extreme_bradycardia() -> None:
    """Under 40 bpm over five beats, that is four intervals; 41 bpm is none."""
    assert first(found_in([38.0] * 8), "extreme_bradycardia") == 4
    assert first(found_in([41.0] * 20), "extreme_bradycardia") is None


def test_one_long_interval_is_no_slow_rate() -> None:
    """A pause of 3.9 s among beats at 75 bpm is a pause, not a rate: one interval of four."""
    assert first(found_in([75.0] * 6 + [60 / 3.9] + [75.0] * 6), "extreme_bradycardia") is None


def test_longest_interval_counts_where_it_is_not_the_only_long_one() -> None:
    """Two long intervals of four are no single pause: the mean of all four is the rate.

    Without its longest interval a slow heart with one still slower beat would be at 40 and more.
    """
    pauses = [70.0] * 6 + [60 / 2.7, 60 / 1.7, 60 / 1.6]
    assert first(found_in(pauses), "extreme_bradycardia") == len(pauses) - 1
    unsteady = [50.0] * 4 + [60 / 1.64, 60 / 1.58, 60 / 1.54, 60 / 1.38]
    assert first(found_in(unsteady), "extreme_bradycardia") == len(unsteady)


def test_standstill_is_no_rate() -> None:
    """What was before an asystole is no present rate: slow beats before it count no more."""
    rates = [75.0] * 6 + [37.0] * 3 + [12.0] + [37.0] * 3
    assert first(found_in(rates), "extreme_bradycardia") is None


def test_seventeen_fast_beats_are_extreme_tachycardia() -> None:
    """Over 140 bpm over seventeen beats; 138 bpm is none."""
    assert first(found_in([150.0] * 20), "extreme_tachycardia") == 16
    assert first(found_in([138.0] * 40), "extreme_tachycardia") is None


def test_missed_beat_does_not_hide_a_tachycardia() -> None:
    """One interval of sixteen is left out: at 146 bpm a doubled one makes a mean of 137."""
    rates = ([146.0] * 15 + [73.0]) * 3
    assert first(found_in(rates), "extreme_tachycardia") is not None
    assert first(found_in(([138.0] * 15 + [69.0]) * 3), "extreme_tachycardia") is None


def test_fast_beats_in_groups_are_no_fast_rate() -> None:
    """Without the longest interval 150 bpm, but a mean of 128: such a heart is not that fast."""
    assert first(found_in(([150.0] * 15 + [25.0]) * 3), "extreme_tachycardia") is None


def test_extreme_rate_ends_only_beyond_the_hysteresis() -> None:
    """At the limit it stays; five beats a minute within it, it is over, once."""
    found = found_in([38.0] * 6 + [43.0] * 6 + [47.0] * 6)
    over = [beat for beat, rate in found if rate.kind == "extreme_bradycardia" and not rate.active]
    assert len(over) == 1
    assert over[0] > 12


@pytest.mark.parametrize(("bpm", "kind"), [(45.0, "heart_rate_low"), (125.0, "heart_rate_high")])
def test_limit_must_be_exceeded_for_the_delay(bpm: float, kind: str) -> None:
    """A short excursion is no alarm; one of ten seconds is, from where it began."""
    beats_in = round(10 * bpm / 60)
    short = found_in([80.0] * 10 + [bpm] * (beats_in - 2) + [80.0] * 20)
    assert first(short, kind) is None
    long = found_in([80.0] * 10 + [bpm] * (beats_in + 12))
    at = first(long, kind)
    assert at is not None
    [begun] = {rate.begun_at for _, rate in long if rate.kind == kind}
    end = next(rate for beat, rate in long if beat == at and rate.kind == kind)
    assert end.limit_bpm in (50.0, 120.0)
    assert begun < 1_000 + 20 * FS


@pytest.mark.parametrize(
    ("bpm", "beats", "kind"),
    [
        (37.5, 2, "extreme_bradycardia"),
        (150.0, 7, "extreme_tachycardia"),
        (45.0, 5, "heart_rate_low"),
    ],
)
def test_short_loss_of_signal_hides_no_rate(bpm: float, beats: int, kind: str) -> None:
    """A link that loses a packet after every few beats still has a rate: known intervals count."""
    rules = RateRules(AlarmSettings(), FS)
    found = []
    for n in range(60):
        lost = n % (beats + 1) == 0
        found += list(rules.on_qrs(round(60 * FS / bpm * n), np.nan if lost else 60 / bpm))
    assert kind in {rate.kind for rate in found}


def test_long_loss_of_signal_begins_anew() -> None:
    """Beats on both sides of more than ten seconds without a known interval are not compared."""
    rules = RateRules(AlarmSettings(), FS)
    sample = 0
    found = []
    for _ in range(10):
        sample += round((BRIDGED_S + 0.1) * FS)
        found += list(rules.on_qrs(sample, np.nan))
        for _ in range(3):
            sample += 400  # 37.5 bpm
            found += list(rules.on_qrs(sample, 1.6))
    assert found == []


def test_lost_signal_ends_a_condition_and_keeps_what_was_measured() -> None:
    """The first known interval behind the loss brings the condition back."""
    rules = RateRules(AlarmSettings(), FS)
    for n in range(20):
        active = list(rules.on_qrs(100 * n, 0.4))
    assert [rate.kind for rate in active] == ["extreme_tachycardia"]
    rules.interrupt()
    assert rules.state.active == {}
    assert list(rules.on_qrs(2_500, np.nan)) == []
    assert [rate.kind for rate in rules.on_qrs(2_600, 0.4)] == ["extreme_tachycardia"]


@given(
    blocks=st.lists(
        st.tuples(
            st.sampled_from([30.0, 40.0, 50.0, 75.0, 119.9, 120.0, 141.0]), st.integers(1, 9)
        ),
        min_size=1,
        max_size=12,
    )
)
def test_nothing_is_missed_where_every_interval_is_within_its_limits(
    blocks: list[tuple[float, int]],
) -> None:
    """The rules look no further then; what they would have found is nothing."""
    rates = [bpm for bpm, beats in blocks for _ in range(beats)]
    found = found_in(rates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RateRules, "_within_all_limits", lambda self: False)
        assert found == found_in(rates)


@given(
    st.lists(
        st.one_of(st.floats(0.3, 2.0), st.floats(0.45, 0.5), st.just(math.nan), st.just(5.0)),
        max_size=60,
    )
)
def test_rules_that_begin_with_a_saved_state_decide_as_those_that_went_on(
    rr_s: list[float],
) -> None:
    """What saves time while all intervals are usual is in no state, and decides nothing."""
    rules = RateRules(DEFAULTS, FS)
    sample = 0
    for interval in rr_s:
        sample += round(FS * (1.0 if math.isnan(interval) else interval))
        anew = RateRules(DEFAULTS, FS, copy.deepcopy(rules.state))
        assert anew.on_qrs(sample, interval) == rules.on_qrs(sample, interval)
