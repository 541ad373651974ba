"""Each beat by name: how beats are counted, and that they are the stream's own."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from models.data import beat_cache
from models.data.beat_cache import cached_beats, code_digest
from models.data.streamed_beats import (
    CONTRIBUTIONS,
    Models,
    ReferenceBeats,
    StreamedBeats,
    reference_of,
    stream_beats,
)
from models.evaluation.alarms.detection import shipped
from models.evaluation.protocols.beats import RecordBeats, figures_of
from models.files.calibration import load_calibration
from models.inference.classifier import ClassifierScorer
from models.inference.student import StudentScorer
from pipeline.constants import RR_FEATURES, WINDOW_SAMPLES
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.annotations import Annotations
from replay.demo import write_demo
from replay.records import read_lead

NAMES = "NSVF"


def models() -> Models:
    """Return what ships."""
    return Models(StudentScorer.load(device="cpu"), ClassifierScorer.load(), load_calibration())


@pytest.fixture(scope="module")
def demo_beats(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StreamedBeats]:
    """The bundled record, streamed."""
    record = write_demo(tmp_path_factory.mktemp("demo")).with_suffix("")
    return record, stream_beats(record, models())


def record_of(
    true: str, named: str, called: str, *, name: str = "one", missed: str = ""
) -> RecordBeats:
    """Return a record at 1 Hz with a beat a second after the fifth minute.

    ``true`` and ``named`` hold a class a beat, ``called`` an x for each anomalous one; the beats
    ``missed`` follow.
    """
    beats = len(true)
    samples = np.arange(301, 301 + beats)
    probabilities = np.full((beats, 4), 0.1, dtype=np.float32)
    probabilities[np.arange(beats), [NAMES.index(one) for one in named]] = 0.7
    anomalous = np.array([one == "x" for one in called])
    classes = np.array(list(true))
    annotated = [*true.replace("-", ""), *missed]
    at = [*samples[classes != "-"].tolist(), *range(301 + beats, 301 + beats + len(missed))]
    return RecordBeats(
        name,
        StreamedBeats(
            extent=np.array([1.0, 300.0 + beats + len(missed) + 1]),
            samples=samples,
            rr_s=np.ones(beats),
            windows=np.zeros((beats, WINDOW_SAMPLES), dtype=np.float32),
            context=np.zeros((beats, RR_FEATURES), dtype=np.float32),
            analysable=np.ones(beats, dtype=bool),
            student=np.ones(beats, dtype=np.float32),
            contributions=np.zeros((beats, len(CONTRIBUTIONS)), dtype=np.float32),
            score=np.where(anomalous, 9.0, 1.0),
            anomalous=anomalous,
            held=np.zeros(beats, dtype=bool),
            probabilities=probabilities,
            fibrillation=np.full(beats, np.nan),
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


def test_the_parts_find_what_the_stream_publishes(demo_beats: tuple[Path, StreamedBeats]) -> None:
    """Beats and live scores are those of the stream."""
    record, beats = demo_beats
    info, samples = read_lead(record)
    scorer, config = shipped()
    runner = EmbeddedRunner("demo", info.fs_hz, scorer, config)
    notes = [note for one in runner.run(in_blocks(samples, 3600)) for note in one.beats]

    assert beats.samples.tolist() == [note.sample for note in notes]
    assert beats.anomalous.tolist() == [note.anomalous for note in notes]
    scores = [np.nan if note.score is None else note.score for note in notes]
    np.testing.assert_allclose(beats.score, scores, atol=1e-4)


def test_contributions_add_up_to_the_score(demo_beats: tuple[Path, StreamedBeats]) -> None:
    """The live score is the sum of what is kept of its components."""
    _, beats = demo_beats
    usable = beats.analysable

    total = np.nansum(beats.contributions[usable].astype(np.float64), axis=1)
    np.testing.assert_allclose(total, beats.score[usable], atol=1e-3)


def test_every_detection_has_a_reference(demo_beats: tuple[Path, StreamedBeats]) -> None:
    """Each annotated beat is a detection or was missed."""
    record, beats = demo_beats
    reference = reference_of(record, beats)

    assert reference.classes.size == beats.samples.size
    assert set(reference.classes.tolist()) <= {*"NSVFQ", "-"}


def test_kept_beats_are_used_again_only_where_nothing_has_changed(
    demo_beats: tuple[Path, StreamedBeats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file serves its record and its code alone, and holds what was streamed."""
    record, beats = demo_beats
    streamed: list[Path] = []

    def stream(path: Path, models: Models) -> StreamedBeats:
        streamed.append(path)
        return beats

    monkeypatch.setattr(beat_cache, "stream_beats", stream)
    for code in (code_digest(), code_digest(), "other code"):
        kept = cached_beats(record, models(), tmp_path / "cache", code)

    assert len(streamed) == 2
    for one in dataclasses.fields(StreamedBeats):
        np.testing.assert_array_equal(getattr(kept, one.name), getattr(beats, one.name))


def test_live_names_are_those_of_anomalous_beats() -> None:
    """A beat that the live score lets pass is N live, and has its name otherwise."""
    figures = figures_of([record_of("NSVVN", "NSVVS", "..x..")])

    assert figures.every_beat.classes.gross.sensitivity == {"V": 100.0, "S": 100.0}
    assert figures.every_beat.classes.gross.positive_predictivity == {"V": 100.0, "S": 50.0}
    assert figures.live.classes.gross.sensitivity == {"V": 50.0, "S": 0.0}
    assert figures.every_beat.runs.couplets.sensitivity == 100.0
    assert figures.live.runs.couplets.sensitivity == 0.0


def test_missed_beats_count_as_not_found() -> None:
    """A beat that was not detected lowers sensitivity and average precision."""
    figures = figures_of([record_of("NNVN", "NNVN", "..x.", missed="V")])

    assert figures.every_beat.classes.gross.sensitivity["V"] == 50.0
    precision = figures.average_precision["V"]
    assert precision is not None
    assert precision < 1.0
    assert figures.alerts.sensitivity["V"] == 0.5


def test_false_alerts_are_episodes_that_begin_with_a_normal_beat() -> None:
    """Ten seconds end an episode; a normal beat within one of a V raises no alert."""
    figures = figures_of([record_of("N" * 40, "N" * 40, "xx" + "." * 18 + "x" + "." * 19)])
    after = figures_of([record_of("VN" + "N" * 38, "N" * 40, "xx" + "." * 38)])

    assert round(figures.alerts.false_alerts_per_hour * figures.hours) == 2
    assert after.alerts.false_alerts_per_hour == 0.0


def test_record_232_is_set_apart() -> None:
    """Figures without it stand beside those with it, where it is one of the records."""
    both = figures_of([record_of("NS", "NS", ".."), record_of("SS", "NN", "..", name="232")])

    assert both.every_beat.classes.gross.sensitivity["S"] == pytest.approx(33.33)
    assert both.every_beat.without["232"].sensitivity["S"] == 100.0
    assert figures_of([record_of("NS", "NS", "..")]).every_beat.without == {}
