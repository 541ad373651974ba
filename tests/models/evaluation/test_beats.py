"""Each beat by name: how beats are counted, and that they are the stream's own."""

import dataclasses
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from models.data import beat_cache
from models.data.beat_cache import cached_beats, code_digest
from models.data.detected_beats import detect_beats
from models.data.streamed_beats import (
    Models,
    ReferenceBeats,
    StreamedBeats,
    decide,
    reference_of,
    stream_beats,
)
from models.evaluation.protocols.beats import (
    BeatsResult,
    DatabaseFigures,
    figures_of,
    parts_of,
)
from models.evaluation.protocols.named_beats import RecordBeats
from models.evaluation.report.beats import beats_sections, lead_table
from models.inference.beat_classifier import BeatClassifier, Parts
from models.inference.student import ScoredWindows
from models.measure.provenance import provenance
from pipeline.constants import CLASSES, MEASURES, WINDOW_SAMPLES
from pipeline.scoring.live_score import COMPONENTS, class_contribution
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.annotations import Annotations
from replay.demo import write_demo
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.lead_sets.asked import read_asked
from replay.lead_sets.troubles import LeadTrouble
from replay.records import read_lead
from tests.support.running import CONFIG, TrivialScorer

FS = 360


class Windows:
    """The part of the trivial scorer that a student has."""

    def score(self, windows: np.ndarray) -> ScoredWindows:
        """Score float32[B, 320]."""
        found = TrivialScorer().score(windows, np.zeros((len(windows), MEASURES), dtype=np.float32))
        return ScoredWindows(scores=found.scores, residuals=found.residuals)


MODELS = Models(Windows(), CONFIG)


@pytest.fixture(scope="module")
def demo_beats(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StreamedBeats]:
    """The bundled record, streamed."""
    record = write_demo(tmp_path_factory.mktemp("demo")).with_suffix("")
    return record, stream_beats(record, MODELS)


def beats_of(
    true: str, named: str, called: str, *, name: str = "one", missed: str = ""
) -> tuple[RecordBeats, np.ndarray]:
    """Return a record at 1 Hz with a beat a second after the fifth minute, and its probabilities.

    ``true`` and ``named`` hold a class a beat, ``called`` an x for each anomalous one; the beats
    ``missed`` follow.
    """
    beats = len(true)
    samples = np.arange(301, 301 + beats)
    probabilities = np.full((beats, 4), 0.1, dtype=np.float32)
    probabilities[np.arange(beats), [CLASSES.index(one) for one in named]] = 0.7
    anomalous = np.array([one == "x" for one in called])
    wanted = np.where(anomalous, CONFIG.threshold + 1.0, CONFIG.threshold - 1.0)
    classes = np.array(list(true))
    annotated = [*true.replace("-", ""), *missed]
    at = [*samples[classes != "-"].tolist(), *range(301 + beats, 301 + beats + len(missed))]
    one = RecordBeats(
        name,
        StreamedBeats(
            extent=np.array([1.0, 300.0 + beats + len(missed) + 1]),
            samples=samples,
            rr_s=np.ones(beats),
            windows=np.zeros((beats, WINDOW_SAMPLES), dtype=np.float32),
            measures=np.zeros((beats, MEASURES), dtype=np.float32),
            second=np.zeros((beats, MEASURES), dtype=np.float32),
            analysable=np.ones(beats, dtype=bool),
            student=np.ones(beats, dtype=np.float32),
            score=wanted - class_contribution(probabilities),
            learning=np.zeros(beats, dtype=bool),
            held=np.zeros(beats, dtype=bool),
            raw=np.full((beats, len(COMPONENTS)), np.nan),
        ),
        ReferenceBeats(
            classes=classes,
            flutter=np.zeros(beats, dtype=bool),
            missed=np.array(list(missed), dtype="<U1"),
            missed_samples=np.array(at[beats:], dtype=np.int64),
            flutters=[],
        ),
        Annotations(
            sample=np.array(at),
            symbol=["A" if one == "S" else one for one in annotated],
            subtype=np.zeros(len(at), dtype=np.int64),
            aux_note=[""] * len(at),
            fs=1.0,
        ),
    )
    return one, probabilities


def figures(*parts: tuple[RecordBeats, np.ndarray]) -> DatabaseFigures:
    """Return the figures of records, as they are named."""
    return figures_of([one for one, _ in parts], {one.name: named for one, named in parts}, CONFIG)


def test_the_parts_find_what_the_stream_publishes(demo_beats: tuple[Path, StreamedBeats]) -> None:
    """Beats are those of the stream, and so are score and decision with the scorer's classes."""
    record, beats = demo_beats
    info, samples = read_lead(record)
    runner = EmbeddedRunner("demo", info.fs_hz, TrivialScorer(), CONFIG)
    notes = [note for one in runner.run(in_blocks(samples, 3600)) for note in one.notes]
    probabilities = np.full((len(notes), 4), np.nan, dtype=np.float32)
    known = beats.analysable
    probabilities[known] = (
        TrivialScorer().score(beats.windows[known], beats.measures[known]).probabilities
    )
    found = decide(beats, probabilities, CONFIG)

    assert beats.samples.tolist() == [note.sample for note in notes]
    assert found.anomalous.tolist() == [note.anomalous for note in notes]
    scores = [np.nan if note.score is None else note.score for note in notes]
    np.testing.assert_allclose(found.score, scores, atol=1e-4)


def two_leads(folder: Path) -> Path:
    """Write a minute of a synthetic patient, whose first lead is noisy for a while."""
    noisy = LeadTrouble("noisy", "II", 20.0, 15.0)
    config = PatientConfig(leads=("II", "V1"), ectopic=0.1, troubles=(noisy,), seed=3)
    mv = SyntheticPatient(config).generate(60 * FS).samples
    np.round(200 * mv.T).astype("<i2").tofile(folder / "two.dat")
    lines = [f"two.dat 16 200/mV 16 0 0 0 0 {lead}" for lead in config.leads]
    (folder / "two.hea").write_text("\n".join([f"two 2 {FS} {mv.shape[1]}", *lines, ""]))
    return folder / "two"


def test_the_parts_find_in_several_leads_what_the_stream_publishes(tmp_path: Path) -> None:
    """Each lead keeps its own past, and a beat is named by two leads."""
    record = two_leads(tmp_path)
    beats = stream_beats(record, MODELS, "all")
    info, samples = read_asked(record, "all")
    runner = EmbeddedRunner("two", info.fs_hz, TrivialScorer(), CONFIG, leads=info.leads)
    notes = [note for one in runner.run(in_blocks(samples, 3600)) for note in one.notes]
    known = beats.analysable
    probabilities = np.full((len(notes), 4), np.nan, dtype=np.float32)
    probabilities[known] = (
        TrivialScorer()
        .score(beats.windows[known], beats.measures[known], beats.second[known])
        .probabilities
    )
    found = decide(beats, probabilities, CONFIG)

    assert {note.lead for note in notes} == {"II", "V1"}
    assert beats.samples.tolist() == [note.sample for note in notes]
    named_by_two = [len(note.class_leads) == 2 for note in notes]
    assert beats.second.any(axis=1)[known].tolist() == np.array(named_by_two)[known].tolist()
    assert any(named_by_two)
    scores = [np.nan if note.score is None else note.score for note in notes]
    np.testing.assert_allclose(found.score, scores, atol=1e-4)
    assert found.anomalous.tolist() == [note.anomalous for note in notes]


def test_the_class_moves_the_score_and_nothing_else(
    demo_beats: tuple[Path, StreamedBeats],
) -> None:
    """A beat that is surely V lies above one that is surely N by twice the limit, in each place."""
    _, beats = demo_beats
    known = beats.analysable
    scores = []
    for name in "NV":
        certain = np.zeros((known.size, 4), dtype=np.float32)
        certain[:, CLASSES.index(name)] = 1.0
        scores.append(decide(beats, certain, CONFIG).score[known])

    apart = float(np.ptp(class_contribution(np.eye(4, dtype=np.float32))))
    np.testing.assert_allclose(scores[1] - scores[0], apart)


def test_every_detection_has_a_reference(demo_beats: tuple[Path, StreamedBeats]) -> None:
    """Each annotated beat is a detection or was missed."""
    record, beats = demo_beats
    reference = reference_of(record, beats.samples, beats.fs_hz)

    assert reference.classes.size == beats.samples.size
    assert set(reference.classes.tolist()) <= {*"NSVFQ", "-"}


def test_training_learns_from_the_beats_that_are_evaluated(
    demo_beats: tuple[Path, StreamedBeats],
) -> None:
    """The same windows, measures and classes, to the bit."""
    record, beats = demo_beats
    reference = reference_of(record, beats.samples, beats.fs_hz)
    learned, counted = detect_beats(record), ~reference.flutter

    for name in ("samples", "windows", "rr_s", "measures", "analysable"):
        np.testing.assert_array_equal(getattr(learned, name), getattr(beats, name)[counted])
    np.testing.assert_array_equal(learned.classes, reference.classes[counted])
    np.testing.assert_array_equal(learned.missed, reference.missed)


def test_kept_beats_are_used_again_only_where_nothing_has_changed(
    demo_beats: tuple[Path, StreamedBeats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file serves its record and its code alone, and holds what was streamed."""
    record, beats = demo_beats
    streamed: list[Path] = []

    def stream(path: Path, models: Models, leads: str | None) -> StreamedBeats:
        streamed.append(path)
        return beats

    monkeypatch.setattr(beat_cache, "stream_beats", stream)
    same = code_digest()
    for code, leads in ((same, None), (code_digest(), None), (same, "all"), ("other code", None)):
        kept = cached_beats(record, MODELS, tmp_path / "cache", code, leads)

    assert len(streamed) == 3
    for one in dataclasses.fields(StreamedBeats):
        np.testing.assert_array_equal(getattr(kept, one.name), getattr(beats, one.name))


def test_every_beat_is_named_whatever_the_live_score_says() -> None:
    """A beat that raises no alert has its class all the same, in runs as well."""
    found = figures(beats_of("NSVVN", "NSVVS", "..x.."))

    assert found.named.classes.gross.sensitivity == {"V": 100.0, "S": 100.0}
    assert found.named.classes.gross.positive_predictivity == {"V": 100.0, "S": 50.0}
    assert found.named.runs.couplets.sensitivity == 100.0
    assert found.alerts.sensitivity["V"] == 0.5
    assert found.alerts.sensitivity["S"] == 0.0


def test_a_beat_that_cannot_be_analysed_has_no_name() -> None:
    """It counts as not found, and raises no alert."""
    one, probabilities = beats_of("NVVN", "NVVN", ".xx.")
    probabilities[1] = np.nan
    found = figures((one, probabilities))

    assert found.named.classes.gross.sensitivity["V"] == 50.0
    assert found.named.classes.gross.confusion["V"]["none"] == 1
    assert found.alerts.sensitivity["V"] == 0.5


def test_missed_beats_count_as_not_found() -> None:
    """A beat that was not detected lowers sensitivity and average precision."""
    found = figures(beats_of("NNVN", "NNVN", "..x.", missed="V"))

    assert found.named.classes.gross.sensitivity["V"] == 50.0
    precision = found.average_precision["V"]
    assert precision is not None
    assert precision < 1.0
    assert found.alerts.sensitivity["V"] == 0.5


def test_false_alerts_are_episodes_that_begin_with_a_normal_beat() -> None:
    """Ten seconds end an episode; a normal beat within one of a V raises no alert."""
    found = figures(beats_of("N" * 40, "N" * 40, "xx" + "." * 18 + "x" + "." * 19))
    after = figures(beats_of("VN" + "N" * 38, "N" * 40, "xx" + "." * 38))

    assert round(found.alerts.false_alerts_per_hour * found.hours) == 2
    assert after.alerts.false_alerts_per_hour == 0.0


def test_record_232_is_set_apart() -> None:
    """Figures without it stand beside those with it, where it is one of the records."""
    both = figures(beats_of("NS", "NS", ".."), beats_of("SS", "NN", "..", name="232"))

    assert both.named.classes.gross.sensitivity["S"] == pytest.approx(33.33)
    assert both.named.without["232"].sensitivity["S"] == 100.0
    assert both.average_precision_without["232"]["S"] == 1.0
    assert figures(beats_of("NS", "NS", "..")).named.without == {}


def test_each_record_is_named_by_what_has_not_seen_it(
    demo_beats: tuple[Path, StreamedBeats],
) -> None:
    """The classifier is asked for by the record's name, and gets the beats it can analyse."""
    record, beats = demo_beats
    asked: list[str] = []

    class Even:
        """Names nothing."""

        def parts(self, windows: np.ndarray, measures: np.ndarray, second: np.ndarray) -> Parts:
            """Return the same for all."""
            assert len(windows) == len(measures) == len(second) == beats.analysable.sum()
            return Parts(*np.full((4, len(windows), 4), 0.25, dtype=np.float32))

    def unseen(name: str) -> BeatClassifier:
        asked.append(name)
        return cast("BeatClassifier", Even())

    notes = Annotations(
        sample=np.empty(0, dtype=np.int64),
        symbol=[],
        subtype=np.empty(0, dtype=np.int64),
        aux_note=[],
        fs=360.0,
    )
    reference = reference_of(record, beats.samples, beats.fs_hz)
    found = parts_of(RecordBeats("demo", beats, reference, notes), unseen)

    assert asked == ["demo"]
    for part in found:
        np.testing.assert_array_equal(np.isfinite(part).all(axis=1), beats.analysable)


def test_each_part_of_the_classifier_is_counted_as_the_whole() -> None:
    """Trees that miss a V stand beside a classifier that does not, with their own couplets."""
    one, whole = beats_of("NSVVN", "NSVVN", ".....")
    _, trees = beats_of("NSVVN", "NSVNN", ".....")

    found = figures_of([one], {"one": whole}, CONFIG, {"trees": {"one": trees}})

    assert found.named.classes.gross.sensitivity["V"] == 100.0
    assert found.parts["trees"].classes.sensitivity == {"V": 50.0, "S": 100.0}
    assert found.parts["trees"].couplets.sensitivity == 0.0
    assert found.parts["trees"].average_precision["S"] == 1.0


def test_one_lead_and_all_stand_side_by_side() -> None:
    """A line each, of every database that was measured in all leads."""
    one, every = (
        figures(beats_of("NSVVN", "NNVVN", ".....")),
        figures(beats_of("NSV", "NSV", "...")),
    )
    result = BeatsResult(
        counting=[],
        databases={"mitdb": one},
        all_leads={"mitdb": every},
        healthy=None,
        machine=provenance(),
    )

    rows = lead_table(result).rows
    assert [row[:4] for row in rows] == [
        ("mitdb", "one", "100.0 / 100.0", "0.0 / –"),
        ("mitdb", "all", "100.0 / 100.0", "100.0 / 100.0"),
    ]
    titles = [section.title for section in beats_sections(result)]
    assert [title.split(":")[0] for title in titles] == [
        "mitdb",
        "mitdb, all leads",
        "One lead and all",
    ]
