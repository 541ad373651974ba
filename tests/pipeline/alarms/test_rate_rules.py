"""The rules of the heart rate: five slow beats, seventeen fast ones, limits with delay."""

import numpy as np
import pytest

from pipeline.alarms.rate_rules import RateChange, RateRules
from pipeline.alarms.settings import AlarmSettings

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
    """A pause of five seconds among beats at 75 bpm is a pause, not a rate."""
    assert first(found_in([75.0] * 6 + [12.0] + [75.0] * 6), "extreme_bradycardia") is None


def test_seventeen_fast_beats_are_extreme_tachycardia() -> None:
    """Over 140 bpm over seventeen beats; 138 bpm is none."""
    assert first(found_in([150.0] * 20), "extreme_tachycardia") == 16
    assert first(found_in([138.0] * 40), "extreme_tachycardia") is None


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


def test_unknown_interval_begins_anew() -> None:
    """Beats on both sides of a stretch without signal are not compared."""
    rules = RateRules(AlarmSettings(), FS)
    sample = 0
    found = []
    for n in range(40):
        sample += 400  # 37.5 bpm
        found += list(rules.on_qrs(sample, np.nan if n % 4 == 0 else 1.6))
    assert found == []
