"""Whether a stretch of fast beats is a ventricular tachycardia, assessed as a whole.

A rhythm is more than a run of names. The classifier errs in one beat of five of a tachycardia, and
names by the patients that it was trained on. So a stretch is a ventricular tachycardia in one of
four cases:

1. All of its beats are named ventricular, and most of them have a QRS that is not just the
   patient's usual one. They are organised, as what comes of one focus or circuit is: they keep
   time, or half of them repeat the one before. What a moving electrode adds to a sinus rhythm is
   named ventricular as well, and does neither. A tachycardia of changing shape and time is taken
   for one where it follows on the patient's own rhythm, for it begins suddenly. Where an electrode
   moves, that rhythm is mostly hidden before.
2. Four of five are named ventricular, and the others have no usual QRS either: they are fusion
   beats, or misnamed. They come regularly and one is like the other: one focus or circuit. A beat
   with the usual QRS was conducted from the atria, and is part of no such stretch.
3. Whatever the names, all have a QRS that is not this patient's own, most far from it, and wide;
   they are of one focus, for `ONE_FOCUS_S`. A supraventricular tachycardia mostly keeps the usual
   QRS, or a narrow one.
4. The same where nothing is known of the patient yet, but wider than nearly every normal QRS and
   faster (`pipeline.scoring.baseline_hold`).

Of several leads one is enough that shows a stretch as one of these: its axis may be such that
another shows it small, narrow, or nearly as usual (a QRS is as wide as in the lead that shows it
widest: AHA/ACCF/HRS 2009). But the more leads there are, the sooner one of them looks foreign by
chance, so two things speak against a stretch:

* A lead that shows the patient's usual QRS, where shape alone speaks for a tachycardia (3, 4), or
  where the complexes change shape and time: an electrode moves.
* Names of which most leave no doubt that they are not ventricular, where shape alone speaks for
  one of a patient who is known (3).

A ventricle that is excited shows in all leads at once. So complexes that change shape and time,
and that a lead which can be analysed has mostly not found by itself, come from an electrode.

Pure: no state, no clock, no I/O.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

from pipeline.schema.state import State, field
from pipeline.scoring.baseline_hold import FIRST_RR_S, WIDE_MS
from pipeline.scoring.qrs_shape import AS_USUAL, REPEATED, UNUSUAL, QrsShape

ONE_IN: Final = 5
"""One beat of this many may differ from the others: a fusion or capture beat, or one misnamed."""

ONE_FOCUS_S: Final = 1.5
"""Beats that nobody named have to be of one focus for this long: five beats at 160 bpm, and more at
higher rates, where the detector may take each beat for two."""

ONE_FOCUS_BEATS: Final = 12
"""The beats that this time can hold: the detector finds one every 200 ms at most."""

DISTINCT: Final = 0.8
"""The QRS of a tachycardia correlates at most this much with the usual one, in the median. Fast
supraventricular rhythms, whose P waves and ST segments run into the QRS, lie above it."""

WIDER: Final = 1.2
"""Times the width of the usual QRS."""

IRREGULAR: Final = 0.15
"""An interval that deviates more than this part from the median is irregular. In atrial
fibrillation half of the intervals do."""

MUCH_ALIKE: Final = 0.9
"""Named beats that correlate this much with the one before repeat it. In the electrode motion of
nstdb, added to six records of mitdb, none of 33 stretches of five named beats has two such pairs
of its four, or keeps time; in reference rhythms and true alarms 74 of 86 do (vfdb, mitdb, 2015
challenge). One focus repeats itself better (`REPEATED`)."""

BEFORE: Final = 8
"""Beats before a stretch, of which half show the patient's own QRS where that rhythm is seen. So do
7 of those 12; in the motion of nstdb two at most do."""


class StretchBeat(State):
    """One beat of a stretch."""

    sample: int
    rr_s: float
    """The interval before it."""
    ventricular: bool | None
    """Whether it is named ventricular; None where that is not known."""
    shape: QrsShape
    doubtful: bool = False
    """Whether it may be ventricular by its name, though another class is more probable."""
    in_leads: list[QrsShape] = field(default_factory=list)
    """Its shape in each of several leads; empty where there is one."""
    found_in: list[bool] = field(default_factory=list)
    """Whether each of several leads has found a complex there by itself."""

    def as_in(self, lead: int) -> "StretchBeat":
        """Return the beat with the shape that it has in a lead."""
        return StretchBeat(
            self.sample, self.rr_s, self.ventricular, self.in_leads[lead], self.doubtful,
            self.in_leads, self.found_in,
        )  # fmt: skip

    @property
    def is_foreign(self) -> bool:
        """Whether the QRS is not one of the patient's own, by its shape or by shape and name."""
        return self.shape.unusual or (self.doubtful and self.shape.likeness < AS_USUAL)

    @property
    def looks_ventricular(self) -> bool:
        """Whether the QRS is foreign or wide; where nothing is usual yet, whether it is wide."""
        if math.isnan(self.shape.likeness):
            return self.shape.width_ms >= WIDE_MS
        return self.is_foreign or self.shape.widening >= WIDER


def tachycardia_of(beats: Sequence[StretchBeat], fewest: int) -> int:
    """Return how many of the latest beats in a row are a ventricular tachycardia, 0 if none are.

    ``beats`` are at least ``fewest``, two or more, and fast enough. Of those before the latest
    ``fewest``, `BEFORE` are looked at, or so many that all take `ONE_FOCUS_S`.
    """
    found = _tachycardia_of(beats, fewest)
    for lead in range(len(beats[-1].in_leads)):
        if found:
            return found
        seen = _seen_in(beats, lead)
        found = _tachycardia_of(seen, fewest) if len(seen) >= fewest else 0
    return found


def _named(beats: Sequence[StretchBeat]) -> int:
    """Return how many of these beats are named ventricular."""
    return sum(beat.ventricular is True for beat in beats)


def _seen_in(beats: Sequence[StretchBeat], lead: int) -> list[StretchBeat]:
    """Return the latest beats in a row whose shape is known in a lead, as they are in it."""
    seen: list[StretchBeat] = []
    for beat in reversed(beats):
        if lead >= len(beat.in_leads) or math.isnan(beat.in_leads[lead].likeness):
            break
        seen.append(beat.as_in(lead))
    return seen[::-1]


def _a_lead_shows_usual(beats: Sequence[StretchBeat]) -> bool:
    """Return whether a lead shows the patient's usual QRS in most of these beats."""
    leads = min(len(beat.in_leads) for beat in beats)
    usual = (
        sum(beat.in_leads[lead].likeness >= AS_USUAL for beat in beats) for lead in range(leads)
    )
    return any(2 * count > len(beats) for count in usual)


def _are_simultaneous(beats: Sequence[StretchBeat]) -> bool:
    """Return whether each lead has found half of the beats in which it can be analysed."""
    for lead in range(min(len(beat.found_in) for beat in beats)):  # as many as have a shape
        found = [b.found_in[lead] for b in beats if not math.isnan(b.in_leads[lead].likeness)]
        if 2 * sum(found) < len(found):
            return False
    return True


def _names_deny(beats: Sequence[StretchBeat]) -> bool:
    """Return whether, of several leads, most beats whose name is known are surely not ventricular.

    One lead may hide from the classifier what its shape shows; there the shape decides. So it does
    where nothing is usual yet: neither score nor class knows the patient.
    """
    if math.isnan(_median([beat.shape.likeness for beat in beats])):
        return False
    known = [beat for beat in beats if beat.ventricular is not None and beat.in_leads]
    return 2 * sum(bool(beat.ventricular) or beat.doubtful for beat in known) < len(known)


def _tachycardia_of(beats: Sequence[StretchBeat], fewest: int) -> int:
    """Return what `tachycardia_of` does, from the ``shape`` of the beats."""
    latest = beats[-fewest:]
    named = _named(latest)
    if named == fewest:
        usual = _median([beat.shape.likeness for beat in latest]) >= AS_USUAL
        sure = _are_organised(latest) or _begin_suddenly(latest, beats[-fewest - BEFORE : -fewest])
        return fewest if sure and not usual else 0
    if not _are_of_one_focus(latest):
        return 0
    if fewest - named <= fewest // ONE_IN:
        return fewest
    while sum(beat.rr_s for beat in latest[1:]) < ONE_FOCUS_S:
        if len(latest) == len(beats):
            return 0
        latest = beats[-len(latest) - 1 :]
    if _names_deny(latest) or _a_lead_shows_usual(latest):
        return 0
    return len(latest) if _are_of_one_focus(latest) and _are_far_from_usual(latest) else 0


def _are_organised(beats: Sequence[StretchBeat]) -> bool:
    """Return whether beats keep time, or half of them repeat the one before, as far as is known."""
    repeats = [b.shape.repeats for b in beats[1:] if not math.isnan(b.shape.repeats)]
    repeated = sum(value >= MUCH_ALIKE for value in repeats)
    return 2 * repeated >= len(repeats) or _keep_time(beats, 0)


def _begin_suddenly(beats: Sequence[StretchBeat], before: Sequence[StretchBeat]) -> bool:
    """Return whether a tachycardia of changing shape and time may begin, and no electrode moves."""
    return _show_own_rhythm(before) and not _a_lead_shows_usual(beats) and _are_simultaneous(beats)


def _show_own_rhythm(beats: Sequence[StretchBeat]) -> bool:
    """Return whether half of `BEFORE` beats have the patient's usual QRS."""
    return 2 * sum(beat.shape.likeness >= UNUSUAL for beat in beats) >= BEFORE


def _keep_time(beats: Sequence[StretchBeat], spared: int) -> bool:
    """Return whether all intervals between beats, but so many, are much like their median."""
    intervals = [beat.rr_s for beat in beats[1:]]
    usual = median(intervals)
    deviations = sorted(abs(interval - usual) for interval in intervals)
    return deviations[-1 - spared] <= IRREGULAR * usual


def _are_of_one_focus(beats: Sequence[StretchBeat]) -> bool:
    """Return whether beats look ventricular, keep time and repeat one shape.

    One in `ONE_IN` may come at another time, and another may have another shape.
    """
    if not all(beat.ventricular or beat.looks_ventricular for beat in beats):
        return False
    spared = len(beats) // ONE_IN
    if not _keep_time(beats, spared):
        return False
    # The first may follow a beat of another rhythm.
    repeats = sorted(b.shape.repeats for b in beats[1:] if not math.isnan(b.shape.repeats))
    return len(repeats) > spared and repeats[spared] >= REPEATED


def _are_far_from_usual(beats: Sequence[StretchBeat]) -> bool:
    """Return whether beats have another shape than usual and are wide, whatever their names."""
    likeness = _median([beat.shape.likeness for beat in beats])
    wide = _median([beat.shape.width_ms for beat in beats]) >= WIDE_MS
    if math.isnan(likeness):
        return wide and median(beat.rr_s for beat in beats) <= FIRST_RR_S
    return likeness <= DISTINCT and (
        wide or _median([beat.shape.widening for beat in beats]) >= WIDER
    )


def _median(values: Sequence[float]) -> float:
    """Return the median of what is known; NaN of nothing."""
    known = [value for value in values if not math.isnan(value)]
    return median(known) if known else math.nan
