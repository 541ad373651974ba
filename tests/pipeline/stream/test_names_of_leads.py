"""Class and score of a beat in several leads: named by two; a change of lead is no anomaly."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from pipeline.schema.public import BeatNote
from pipeline.scoring.protocols import ScoredBatch
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.lead_sets.troubles import LeadTrouble
from tests.support.running import CONFIG, TrivialScorer

FS = 360
LEADS = ("II", "V1", "V5")


class SureOfNormal(TrivialScorer):
    """Names every beat N, so that shape and rhythm alone make an anomaly."""

    def score(
        self, windows: np.ndarray, measures: np.ndarray, second: np.ndarray | None = None
    ) -> ScoredBatch:
        """Score as the trivial scorer does."""
        named = np.tile(np.float32([0.5, 0.2, 0.2, 0.1]), (len(windows), 1))
        return replace(super().score(windows, measures, second), probabilities=named)


def notes_of(*troubles: LeadTrouble, leads: tuple[str, ...] = LEADS, s: int = 90) -> list[BeatNote]:
    """Return the beats of a heart without ectopy, whose leads have these troubles."""
    config = PatientConfig(leads=leads, troubles=troubles, seed=3)
    samples = SyntheticPatient(config).generate(s * FS).samples
    runner = EmbeddedRunner("p", FS, SureOfNormal(), CONFIG, leads=leads)
    return [note for one in runner.run(in_blocks(samples, FS)) for note in one.notes]


def named(notes: list[BeatNote], from_s: float, to_s: float) -> set[tuple[str, ...]]:
    """Return by which leads the beats of a stretch are named."""
    found = [note for note in notes if note.analysable and from_s < note.time_s < to_s]
    assert found
    return {tuple(note.class_leads) for note in found}


def test_beat_says_which_leads_name_it() -> None:
    """The one in use and the first other one that can be analysed, alone where there is none."""
    notes = notes_of(LeadTrouble("off", "V1", 30.0, 20.0), s=60)

    assert named(notes, 10, 29) == {("II", "V1")}
    assert named(notes, 33, 49) == {("II", "V5")}
    assert {note.lead for note in notes} == {"II"}
    assert all(note.class_leads == [] for note in notes if not note.analysable)
    assert named(notes_of(leads=LEADS[:1], s=20), 5, 20) == {()}


def test_change_of_the_lead_in_use_is_no_anomaly() -> None:
    """Each lead has its own baseline: what is new to the stream is not new to the patient."""
    noise = LeadTrouble("noisy", "II", 30.0, 25.0), LeadTrouble("noisy", "V1", 60.0, 25.0)
    notes = [note for note in notes_of(*noise, s=110) if note.analysable]

    changed = [n for n, (one, after) in enumerate(pairwise(notes), 1) if one.lead != after.lead]
    assert {notes[n].lead for n in changed} >= {"V1"}, "the lead was to change"
    assert len(changed) >= 2, "and to change again"
    after = [note for n in changed for note in notes[n : n + 10]]
    assert not any(note.anomalous for note in after)
