"""The agreement of leads again: slow, obvious, a whole record at once, without the pipeline's code.

Plain loops and lists over what all leads found; no chunks, no kernels. The tests hold
`pipeline.signal.kernels.agreement` to it. Positions are samples at 360 Hz, signals are in mV.
"""

import math
import statistics
from dataclasses import dataclass, field

import numpy as np

CANNOT_SHOW = (1, 2, 3, 4, 6)  # electrode off, saturated, flat, no values, gap
WINDOW = 179  # from R to the last sample of its window
SAME, APART, SOON = 54, 72, 130
LOOKED_AT = 2000
HIDDEN = (5, 9)  # noise, motion


@dataclass
class Found:
    """A complex that a lead has found."""

    r: int
    confirmed: int
    became: str = "waits"

    @property
    def due(self) -> int:
        """When it is decided on."""
        return max(self.r + WINDOW, self.confirmed)


@dataclass
class Lead:
    """What is known of a lead."""

    found: list[Found]
    sensitivity: float = 0.95
    false: float = 0.03
    offset: float = 0.0
    learned: int = 0
    spans: list[float] = field(default_factory=lambda: [0.0] * 8)
    shape: np.ndarray = field(default_factory=lambda: np.zeros(73))

    @property
    def span(self) -> float:
        """The usual one."""
        return statistics.median(self.spans)


class View:
    """What a lead shows up to a decision."""

    def __init__(self, x, mask, begin, end):
        self.x, self.mask = x[begin:end].astype(float), mask[begin:end]
        self.begin = begin

    def span(self, at, reach):
        """Return the span around a position."""
        part = self.x[max(at - self.begin - reach, 0) : max(at - self.begin + reach + 1, 0)]
        return float(part.max() - part.min()) if part.size else 0.0

    def can_show(self, at):
        """Return whether it could show a beat there."""
        return self.mask[min(max(at - self.begin, 0), self.mask.size - 1)] not in CANNOT_SHOW

    def votes(self, at):
        """Return whether it says something by finding nothing there."""
        return self.can_show(at) and self.span(at, 179) > 0.02

    def noise(self, at, span):
        """Return the noise in the four seconds before, as a part of a beat's span."""
        spans = []
        for k in range(1, 41):
            centre = at - self.begin - 36 * k - 25
            if centre >= 25 and centre + 25 < self.x.size and self.can_show(centre + self.begin):
                part = self.x[centre - 25 : centre + 26]
                spans.append(part.max() - part.min())
        if not spans or span <= 0:
            return 1.0
        return min(max(sorted(spans)[int(0.4 * len(spans))] / span, 0.05), 1.0)

    def is_hidden(self, at):
        """Return whether noise or motion hides beats, there or at the end."""
        inside = min(max(at - self.begin, 0), self.mask.size - 1)
        return self.mask[inside] in HIDDEN or self.mask[-1] in HIDDEN

    def shape(self, at):
        """Return the complex at a place, of mean 0."""
        part = self.x[at - self.begin - 36 : at - self.begin + 37]
        return part - part.mean()

    def alike(self, one, other):
        """Return whether two complexes are alike, one of them shifted by up to 33 ms."""
        spans = sorted((self.span(one, 36), self.span(other, 36)))
        if other - self.begin < 36 or other - self.begin + 37 > self.x.size:
            return False
        return spans[0] >= 0.5 * spans[1] and self.likeness(one, self.shape(other)) >= 0.8

    def likeness(self, at, shape):
        """Return the best correlation with the usual complex, shifted by up to 33 ms."""
        best = 0.0
        for shift in range(-12, 13, 2):
            begin = at - self.begin + shift - 36
            if begin < 0 or begin + 73 > self.x.size:
                continue
            part = self.x[begin : begin + 73] - self.x[begin : begin + 73].mean()
            size = math.sqrt(float((part**2).sum() * (shape**2).sum()))
            if size > 0:
                best = max(best, float(part @ shape) / size)
        return best


class Agreement:
    """Beats of one patient of what all leads found, in ``beats``; and ``shown``."""

    def __init__(self, filtered, masks, found):
        self.filtered, self.masks = filtered, masks
        self.leads = [Lead([Found(*one) for one in of_lead]) for of_lead in found]
        self.last_r, self.usual_rr, self.chosen = -APART, 0, 0
        self.doubted = False
        self.better, self.better_for = 0, 0
        self.beats, self.shown = [], []
        while waiting := [
            (one.due, k, one)
            for k, lead in enumerate(self.leads)
            for one in lead.found
            if one.became == "waits"
        ]:
            due, k, one = min(waiting, key=lambda at: at[:2])
            if due >= filtered.shape[1]:
                break
            self._decide(due, k, one)

    def _decide(self, due, of, one):
        views = [
            View(x, mask, max(due - LOOKED_AT, 0), due + 1)
            for x, mask in zip(self.filtered, self.masks, strict=True)
        ]
        mine = [one if k == of else self._nearest(k, one.r, due) for k in range(len(self.leads))]
        clear = []
        for k, (lead, view, its) in enumerate(zip(self.leads, views, mine, strict=True)):
            usual = its and lead.learned >= 8 and view.span(its.r, 36) >= 0.5 * lead.span
            if usual and view.likeness(its.r, lead.shape) >= 0.8:
                self.shown.append((k, its.r, due))
                clear.append(k)
            elif its and lead.learned >= 8 and self._has_changed(lead, view, its, due):
                lead.shape, lead.spans = view.shape(its.r), [view.span(its.r, 36)] * 8
                lead.false = min(lead.false, 0.03)
                clear.append(k)
            elif its and lead.learned >= 8 and view.noise(one.r, lead.span) < 0.33:
                clear.append(k)
        places = clear or [k for k, its in enumerate(mine) if its]
        first = self.chosen if self.chosen in places else places[0]
        patient_r = max(mine[first].r - round(self.leads[first].offset), 0)
        if patient_r - self.last_r < APART:
            is_beat = True  # known already
        else:
            odds = self._odds(views, mine, one.r)
            is_beat, sure = odds > 0, 1 / (1 + math.exp(-odds))
            self._learn_record(views, mine, one.r, sure)
            if is_beat:
                self._learn_shapes(views, mine, patient_r)
                self._choose(views, mine, one.r)
                interval, doubted = patient_r - self.last_r, sure < 0.9
                if interval <= 1080 and not doubted and not self.doubted:
                    step = round(0.125 * (interval - self.usual_rr)) if self.usual_rr else interval
                    self.usual_rr += step
                self.last_r, self.doubted = patient_r, doubted
                places = [
                    its.r if its else patient_r + round(lead.offset)
                    for its, lead in zip(mine, self.leads, strict=True)
                ]
                self.beats.append((patient_r, due, self.chosen, *places))
        for its in mine:
            if its:
                its.became = "counted" if is_beat else "refused"

    def _nearest(self, k, r, due):
        near = [
            one
            for one in self.leads[k].found
            if abs(one.r - r) <= SAME and one.confirmed <= due and one.became != "counted"
        ]
        return min(near, key=lambda one: abs(one.r - r), default=None)

    def _odds(self, views, mine, r):
        everybody = list(zip(self.leads, views, mine, strict=True))
        against = [(lead, view) for lead, view, its in everybody if not its and view.votes(r)]
        begins = any(its and lead.learned < 8 for lead, _, its in everybody)
        since = r - self.last_r
        if not against:
            return math.inf
        if begins and not any(lead.learned >= 8 for lead, _ in against):
            noises = [view.noise(r, view.span(its.r, 25)) for _, view, its in everybody if its]
            stands_out = min(noises) < 0.5 or since > 1.5 * max(self.usual_rr, 288)
            return 3.0 if stands_out else -3.0
        odds, noises = -2.0 if since < SOON else 0.0, []
        for lead, view, its in everybody:
            if its and lead.learned >= 8:
                noise = view.noise(r, lead.span)
                size = view.span(its.r, 25) / max(lead.span, 1e-9)
                size = min(size, 1.5) - min(max(size - 3.0, 0.0), 1.5)
                trust = math.log(lead.sensitivity / max(lead.false, 0.01)) - math.log(0.95 / 0.03)
                odds += 3.0 * view.likeness(its.r, lead.shape) + 2.0 * size - 4.5
                odds += min(max(trust, -3.0), 3.0) - 1.3 * math.log(noise)
                noises.append(noise)
        if self.usual_rr:
            noise, late = min(noises, default=0.0), since / self.usual_rr - 1
            if since >= SOON:
                odds += (1 - noise) * min(max(2.0 * late, 0.0), 6.0)
            odds -= 20.0 * noise * (max(-late, 0.0) - 0.15)
        for lead, view in against:
            size = min(view.span(r, 36) / max(lead.span, 1e-9), 1.0)
            trust = math.log(1 - min(lead.sensitivity, 0.99)) - math.log(0.05)
            odds += 2.5 * size - 2.0 + min(max(trust, -3.0), 3.0)
        return odds

    def _has_changed(self, lead, view, its, due):
        since = max(self.last_r + APART, due - 1800)
        before = [one for one in lead.found if since <= one.r < its.r]
        like = sum(view.alike(one.r, its.r) for one in before)
        return view.span(its.r, 36) >= 0.5 * lead.span and like >= 3 and 2 * like >= len(before)

    def _learn_record(self, views, mine, r, sure):
        for lead, view, its in zip(self.leads, views, mine, strict=True):
            if its or view.votes(r):
                lead.sensitivity += sure * (bool(its) - lead.sensitivity) / 64
                lead.false += ((1 - sure if its else 0) - lead.false) / 64

    def _learn_shapes(self, views, mine, patient_r):
        for lead, view, its in zip(self.leads, views, mine, strict=True):
            begin = its.r - view.begin - 36 if its else -1
            if begin < 0 or begin + 73 > view.x.size:
                continue
            if lead.learned >= 8 and view.is_hidden(its.r):
                continue
            share = 0.125 if lead.learned else 1.0
            lead.shape = lead.shape + share * (view.shape(its.r) - lead.shape)
            lead.spans = [*lead.spans[1:], view.span(its.r, 36)]
            if mine[0]:
                lead.offset += share * (its.r - mine[0].r - lead.offset)
            elif lead.learned < 8:
                lead.offset += share * (its.r - patient_r - lead.offset)
            lead.learned = min(lead.learned + 1, 8)

    def _choose(self, views, mine, r):
        blind = not mine[self.chosen] and not views[self.chosen].can_show(r)
        best, highest = self.chosen, -math.inf
        if not blind:
            highest = 1.0 + self._worth(views, self.chosen, r)
        for k, lead in enumerate(self.leads):
            candidate = k != self.chosen and mine[k] and (lead.learned >= 8 or blind)
            if candidate and self._worth(views, k, r) > highest:
                best, highest = k, self._worth(views, k, r)
        if best == self.chosen:
            self.better_for = 0
            return
        self.better_for = self.better_for + 1 if best == self.better else 1
        self.better = best
        if blind or self.better_for >= 10:
            self.chosen, self.better_for = best, 0

    def _worth(self, views, k, r):
        """Return how well a lead shows beats; the first one is preferred."""
        lead = self.leads[k]
        errors = 1 - lead.sensitivity + lead.false + 0.02
        preferred = 1.5 if k == 0 else 0.0
        return preferred - math.log(errors) - math.log(views[k].noise(r, lead.span))
