"""Unseen patients: what counts as found, missed, false, and what that makes of the figures."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.ec57.matching import LEARNING_S, match_beats
from models.evaluation.protocols.beats import record_paths
from models.evaluation.protocols.interpatient import (
    COUNTING,
    check_unseen,
    evaluate_interpatient,
    score_records,
    unseen_paths,
    unseen_result,
)
from models.evaluation.protocols.scored_beats import pooled, ranked, score_record
from models.evaluation.report.interpatient import draw_interpatient, ranking_table
from models.files.student import load_student, save_student
from models.measure.result_json import to_json
from pipeline.alarms.kinds import EPISODE_S
from pipeline.constants import MEASURES
from pipeline.errors import ArtifactError, InputError
from pipeline.scoring.protocols import ScoredBatch
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import EmbeddedRunner
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.lead_sets.troubles import LeadTrouble
from replay.records import write_beats
from tests.support.databases import database
from tests.support.evaluations import KNOWN, scored_record
from tests.support.running import CONFIG, TrivialScorer

pytestmark = pytest.mark.system

FS = 360
MINUTES = 6


class UndecidedScorer(TrivialScorer):
    """Holds N for as probable as not, so that the class contributes nothing to a score."""

    def score(
        self, windows: np.ndarray, measures: np.ndarray, second: np.ndarray | None = None
    ) -> ScoredBatch:
        """Score as the trivial scorer does."""
        probabilities = np.tile(np.array([0.5, 0.2, 0.2, 0.1], dtype=np.float32), (len(windows), 1))
        return replace(super().score(windows, measures, second), probabilities=probabilities)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six minutes of a synthetic patient with ectopics, as WFDB."""
    patient = SyntheticPatient(PatientConfig(ectopic=0.06, seed=5)).generate(MINUTES * 60 * FS)
    folder = tmp_path_factory.mktemp("records")
    write_signal(folder, "900", patient.samples)
    write_beats(folder, "900", "atr", patient.beats, patient.symbols, FS)
    return folder / "900"


def write_signal(
    folder: Path, name: str, samples: np.ndarray, leads: Sequence[str] = ("MLII",)
) -> None:
    """Write leads, 200 units a mV."""
    np.round(200 * samples.T).astype("<i2").tofile(folder / f"{name}.dat")
    signals = [f"{name}.dat 16 200/mV 16 0 0 0 0 {lead}\n" for lead in leads]
    header = f"{name} {len(leads)} {FS} {samples.shape[-1]}\n" + "".join(signals)
    (folder / f"{name}.hea").write_text(header)


def annotate(record: Path, folder: Path, samples: Sequence[int], symbols: Sequence[str]) -> Path:
    """Return a copy of a record with another annotation."""
    for extension in ("hea", "dat"):
        (folder / f"900.{extension}").write_bytes(record.with_suffix(f".{extension}").read_bytes())
    write_beats(folder, "900", "atr", np.array(samples), list(symbols), FS)
    return folder / "900"


def detections(record: Path) -> list[tuple[int, float, bool]]:
    """Return position, score and verdict of each detected beat of a record, by the stream alone."""
    samples = np.fromfile(record.with_suffix(".dat"), "<i2").astype(np.float32) / 200
    runner = EmbeddedRunner("900", FS, UndecidedScorer(), CONFIG)
    notes = [note for outcome in runner.run([SampleBlock(0, samples)]) for note in outcome.notes]
    return [(n.sample, np.nan if n.score is None else n.score, n.anomalous) for n in notes]


def test_every_beat_after_the_learning_period_counts_once(record: Path) -> None:
    """Annotated beats and false detections, with the score and the verdict of the stream."""
    one = score_record(record, UndecidedScorer(), CONFIG)
    found = detections(record)
    patient = SyntheticPatient(PatientConfig(ectopic=0.06, seed=5)).generate(MINUTES * 60 * FS)
    counted = patient.beats >= LEARNING_S * FS
    pairs = match_beats(patient.beats, np.array([sample for sample, _, _ in found]), 54)[counted]
    beats = one.beats

    annotated = beats.classes != "-"
    assert np.count_nonzero(annotated) == np.count_nonzero(counted) > 50
    np.testing.assert_allclose(beats.times_s[annotated], patient.beats[counted] / FS)
    assert "".join(beats.classes[annotated]) == "".join(np.array(patient.symbols)[counted])
    assert set(beats.classes) >= {"N", "V"}
    assert one.hours == pytest.approx((MINUTES * 60 - LEARNING_S) / 3600)
    for row, pair in zip(np.flatnonzero(annotated), pairs, strict=True):
        score, alerted = found[pair][1:] if pair >= 0 else (np.nan, False)
        np.testing.assert_equal(beats.scores[row], np.float32(score))
        assert (beats.found[row], beats.alerted[row]) == (pair >= 0, alerted)
    assert one.alerts["anomalous_beat"] == np.count_nonzero(beats.raised) > 2
    order = np.argsort(beats.times_s)
    times_s, alerted = beats.times_s[order], beats.alerted[order]
    begins = np.diff(times_s[alerted], prepend=-np.inf) > EPISODE_S
    np.testing.assert_array_equal(
        np.flatnonzero(beats.raised[order]), np.flatnonzero(alerted)[begins]
    )


def test_a_detection_without_annotation_is_false_and_an_annotation_without_is_missed(
    record: Path, tmp_path: Path
) -> None:
    """One annotation too few and one where no beat is, both in the counted time."""
    found = [sample for sample, _, _ in detections(record)]
    first = next(i for i, sample in enumerate(found) if sample >= LEARNING_S * FS)
    unannotated, between = found[first + 5], (found[first + 10] + found[first + 11]) // 2
    samples = sorted({*found, between} - {unannotated})
    symbols = ["V" if sample == between else "N" for sample in samples]

    beats = score_record(
        annotate(record, tmp_path, samples, symbols), UndecidedScorer(), CONFIG
    ).beats

    false, missed = beats.classes == "-", ~beats.found
    assert (beats.times_s[false] * FS).tolist() == pytest.approx([unannotated])
    assert beats.found[false].all()
    assert np.isfinite(beats.scores[false]).all()
    assert (beats.times_s[missed] * FS).tolist() == pytest.approx([between])
    assert beats.classes[missed].tolist() == ["V"]
    assert np.isnan(beats.scores[missed]).all()
    assert not beats.alerted[missed].any()


def test_the_learning_period_does_not_count(record: Path, tmp_path: Path) -> None:
    """Neither a missed beat nor a false detection in it enters, but the stream has seen it."""
    samples = [sample for sample, _, _ in detections(record)]
    spoiled = [s + 100 if s < (LEARNING_S - 2) * FS else s for s in samples]
    normal = ["N"] * len(samples)

    usual = score_record(annotate(record, tmp_path, samples, normal), UndecidedScorer(), CONFIG)
    other = score_record(annotate(record, tmp_path, spoiled, normal), UndecidedScorer(), CONFIG)

    assert usual.beats.found.all()
    for name in ("times_s", "classes", "found", "scores", "alerted"):
        np.testing.assert_array_equal(getattr(usual.beats, name), getattr(other.beats, name))


def test_ventricular_flutter_is_no_counted_time(record: Path, tmp_path: Path) -> None:
    """Between [ and ] nothing is a beat, nothing a false detection, and no time passes."""
    found = [sample for sample, _, _ in detections(record)]
    first, last = round((LEARNING_S - 10) * FS), round((LEARNING_S + 20) * FS)
    outside = [sample for sample in found if not first < sample < last]
    marks = {first: "[", last: "]"} | dict.fromkeys(outside, "N")

    one = score_record(
        annotate(record, tmp_path, sorted(marks), [marks[at] for at in sorted(marks)]),
        UndecidedScorer(),
        CONFIG,
    )

    assert set(one.beats.classes) == {"N"}
    assert one.beats.found.all()
    assert (one.beats.times_s >= LEARNING_S + 20).all()
    assert one.hours == pytest.approx((MINUTES * 60 - LEARNING_S - 20) / 3600)


def test_windows_and_residuals_belong_to_their_beats(record: Path) -> None:
    """What was scored is kept beside the score, where it is asked for."""
    beats = score_record(record, UndecidedScorer(), CONFIG, keep_strips=True).beats
    assert beats.strips is not None
    scored = np.isfinite(beats.scores)
    windows, residuals = beats.strips[scored].astype(np.float32).transpose(1, 0, 2)

    measures = np.zeros((len(windows), MEASURES), dtype=np.float32)
    expected = UndecidedScorer().score(windows, measures).residuals
    np.testing.assert_allclose(residuals, expected, atol=5e-3)
    assert np.isnan(beats.strips[~scored]).all()
    assert score_record(record, UndecidedScorer(), CONFIG).beats.strips is None


def test_a_record_within_the_learning_period_is_refused(tmp_path: Path) -> None:
    """There is nothing to count in it."""
    write_signal(tmp_path, "901", np.zeros(FS * 60, dtype=np.float32))
    write_beats(tmp_path, "901", "atr", np.array([500]), ["N"], FS)
    with pytest.raises(InputError, match="901 ends within the learning period"):
        score_record(tmp_path / "901", UndecidedScorer(), CONFIG)


def test_known_beats_have_known_figures() -> None:
    """Missed beats lower the sensitivity, false detections raise the false alerts, by hand."""
    result = unseen_result([scored_record("100", KNOWN)])
    figures = result.gross

    assert figures.sensitivity == {"S": 0.0, "V": pytest.approx(1 / 3), "F": None, "Q": None}
    assert (figures.false_alerts, figures.false_alerts_per_hour) == (2, 4.0)
    assert figures.beats == {"N": 4, "S": 1, "V": 3, "F": 0, "Q": 0}
    assert figures.missed == {"N": 1, "S": 0, "V": 1, "F": 0, "Q": 0}
    assert figures.false_detections == 3
    assert figures.not_analysable.false_detections == figures.not_analysable.by_class["S"] == 1
    assert figures.not_analysable.share_of_detections == pytest.approx(3 / 9)
    assert result.detection.sensitivity == pytest.approx(6 / 8)
    assert result.detection.positive_predictivity == pytest.approx(6 / 9)
    # Of the pairs with the normal 1, 6, 7 and 3: V 9 wins all, V 2 one, the two unscored none.
    assert figures.ranking.auc == pytest.approx(5 / 16)
    assert figures.ranking.auc_by_class == {
        "S": 0.0,
        "V": pytest.approx(5 / 12),
        "F": None,
        "Q": None,
    }
    assert result.scored.ranking.auc == pytest.approx(5 / 8)
    json.dumps(to_json(result), allow_nan=False)


def test_missed_beats_never_help() -> None:
    """An anomalous beat without a score ranks last; a normal one is not ranked at all."""
    scores, anomalous, classes = ranked(scored_record("100", KNOWN).beats)

    assert np.isfinite(scores).all()
    assert scores.size == 8
    assert scores[anomalous].tolist()[2:] == [scores.min()] * 2
    assert (scores[anomalous][2:] < scores[~anomalous].min()).all()
    assert sorted(classes) == ["N"] * 4 + ["S"] + ["V"] * 3


def test_gross_figures_are_of_all_records_together_and_of_each() -> None:
    """Beats are pooled; the record set apart changes only the figures that leave it out."""
    easy = scored_record("100", [("N", True, 0.0, False), ("V", True, 5.0, True)])
    hard = scored_record("232", [("N", True, 4.0, True), ("S", True, 1.0, False)], hours=1.5)

    result = unseen_result([easy, hard])
    figures = result.gross

    assert figures.ranking.auc == pytest.approx(3 / 4)
    assert result.without["232"].auc == 1.0
    assert [one.record for one in result.per_record] == ["100", "232"]
    assert [one.figures.ranking.auc for one in result.per_record] == [1.0, 0.0]
    assert figures.false_alerts_per_hour == figures.false_beats_per_hour == 0.5
    assert result.alerts == {"anomalous_beat": 6}


def test_a_record_without_anomalous_beats_has_no_auc() -> None:
    """None, not a made-up figure."""
    figures = unseen_result([scored_record("212", [("N", True, 1.0, False)])]).gross

    assert figures.ranking.auc is figures.ranking.ap is figures.sensitivity["V"] is None


def test_the_result_says_how_it_counts() -> None:
    """Missed, not analysable and false detections each have their sentence."""
    text = " ".join(COUNTING)
    for what in ("not detected", "could not be analysed", "false detection", "300 s", "150 ms"):
        assert what in text


@pytest.mark.parametrize("split", ["0", "4", None, 0])
def test_a_student_that_may_have_seen_the_patients_is_refused(split: object) -> None:
    """Only one trained on the patients of DS1 is accepted."""
    artifact = load_student()
    with pytest.raises(ArtifactError, match="--split ds1"):
        check_unseen(replace(artifact, training=replace(artifact.training, split=split)))
    assert artifact.training.split == "ds1"
    check_unseen(artifact)


def test_a_student_of_a_fold_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """The records need not even be there."""
    student = load_student()
    student = replace(student, training=replace(student.training, split="0", seed=0))
    save_student(student, tmp_path / "student.json")
    with pytest.raises(ArtifactError, match="not on the patients of DS1"):
        evaluate_interpatient(tmp_path / "nowhere", tmp_path / "student.json")


def test_leads_that_are_asked_for_are_watched_together_and_said(tmp_path: Path) -> None:
    """Where the usual lead is off, one lead finds nothing, and two find what the other shows."""
    off = LeadTrouble("off", "II", 240.0, 120.0)
    config = PatientConfig(leads=("II", "V1"), troubles=(off,), seed=5)
    patient = SyntheticPatient(config).generate(MINUTES * 60 * FS)
    write_signal(tmp_path, "900", patient.samples, ["II", "V1"])
    write_beats(tmp_path, "900", "atr", patient.beats, patient.symbols, FS)

    records = {
        leads: score_record(tmp_path / "900", UndecidedScorer(), CONFIG, leads=leads)
        for leads in (None, "V1", "all")
    }
    missed = {leads: np.count_nonzero(~one.beats.found) for leads, one in records.items()}
    assert [one.leads for one in records.values()] == [("II",), ("V1",), ("II", "V1")]
    assert missed[None] > 50
    assert missed["all"] <= missed["V1"] + 1 <= 3
    result = unseen_result(list(records.values()))
    assert result.leads == {"II": 1, "V1": 1, "II,V1": 1}
    assert ranking_table(result).notes == ["Leads (records): II (1), V1 (1), II+V1 (1)."]


@pytest.mark.data
def test_records_without_the_leads_are_left_out() -> None:
    """Two records of mitdb have no MLII, which no record of svdb has; none has aVF."""
    data = database("mitdb").parent
    assert len(unseen_paths(data)) == len(unseen_paths(data, "all")) == 22
    assert 0 < len(unseen_paths(data, "V5")) < 22
    found = record_paths(data, "MLII")
    assert {name: len(paths) for name, paths in found.items()} == {"mitdb DS2": 22, "mitdb DS1": 22}
    with pytest.raises(InputError, match="no record has the leads 'aVF'"):
        unseen_paths(data, "aVF")


def test_pictures_are_drawn_of_scored_beats(record: Path, tmp_path: Path) -> None:
    """Four PNG files, whole, and nothing else; each record was announced."""
    steps: list[str] = []
    records = score_records(
        [record], UndecidedScorer(), CONFIG, keep_strips=True, on_step=steps.append
    )
    files = draw_interpatient(pooled(records), CONFIG.threshold, "232", tmp_path)

    assert steps == ["record 900"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert len(files) == 4
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


@pytest.mark.data
def test_shipped_student_holds_on_unseen_patients() -> None:
    """Detector in the loop, all records of DS2: what was asked of the live score and is reached.

    Where nothing was asked the bound lies below what docs/models shows. Two trainings that differ
    by their seed differ by 0.001 in AUC and 0.012 in AP (docs/models/trials.md), the number of
    false alerts by its square root, a ninth: every bound leaves as much.
    """
    result = evaluate_interpatient(database("mitdb")).result.unseen
    gross, scored, apart = result.gross, result.scored, result.without["232"]

    assert len(result.records) == 22
    assert (gross.ranking.auc or 0) >= 0.965
    assert (gross.ranking.ap or 0) >= 0.85
    assert (apart.auc or 0) >= 0.97
    assert (apart.ap or 0) >= 0.89
    assert (scored.ranking.auc_by_class["V"] or 0) >= 0.998
    assert (scored.without["232"].ap or 0) >= 0.90
    assert (gross.sensitivity["V"] or 0) >= 0.97
    assert (gross.false_alerts_per_hour or 99) <= 10.0
    assert (result.detection.sensitivity or 0) >= 0.999
    assert (result.detection.positive_predictivity or 0) >= 0.998
