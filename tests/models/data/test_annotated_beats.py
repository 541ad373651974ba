"""The published protocol: which beats, which split."""

from pathlib import Path

import numpy as np
import pytest

from models.data.annotated_beats import (
    SPLITS,
    Beats,
    Split,
    annotation_digest,
    distance_to_nearest,
    load_beats,
    split_beats,
    split_named,
    split_patients,
)
from models.data.mitdb import DS1, DS1A, DS1B, DS2, RECORDS, database_folder
from pipeline.errors import ConfigError, InputError
from tests.support.databases import database


def _beats(detected: np.ndarray | None = None, n: int = 2000) -> Beats:
    """Beats of which a tenth are ventricular; windows are blank."""
    symbols = np.array(["V" if i % 10 == 0 else "NLR"[i % 3] for i in range(n)])
    return Beats(
        windows=np.zeros((n, 320), dtype=np.float32),
        symbols=symbols,
        records=np.full(n, "100"),
        samples=np.arange(n) * 300,
        detected=np.ones(n, dtype=bool) if detected is None else detected,
    )


@pytest.mark.parametrize("fold", range(5))
def test_parts_are_disjoint_and_complete(fold: int) -> None:
    """Training is four fifths of the normal beats; the rest is a tenth validation, then test."""
    beats = _beats()
    split = split_beats(beats, fold=fold, seed=0)

    assert beats.normal[split.train].all()
    assert split.train.size == 1440
    assert np.count_nonzero(beats.normal[split.validation]) == 36
    assert np.count_nonzero(~beats.normal[split.validation]) == 20
    everything = np.concatenate((split.train, split.validation, split.test))
    np.testing.assert_array_equal(np.sort(everything), np.arange(2000))


def test_folds_share_no_test_beat() -> None:
    """Each normal beat is held out by exactly one fold."""
    beats = _beats()
    held_out = [
        np.setdiff1d(np.flatnonzero(beats.normal), split_beats(beats, fold=f, seed=0).train)
        for f in range(5)
    ]
    np.testing.assert_array_equal(np.sort(np.concatenate(held_out)), np.flatnonzero(beats.normal))


def test_better_detector_moves_no_beat_between_parts() -> None:
    """Normal beats the detector misses drop out of their part; the others stay where they are."""
    detected = np.random.default_rng(0).random(2000) < 0.8
    before, after = (
        split_beats(_beats(), fold=1, seed=5),
        split_beats(_beats(detected), fold=1, seed=5),
    )
    kept = detected | ~_beats().normal
    for part in ("train", "validation", "test"):
        whole = getattr(before, part)
        np.testing.assert_array_equal(getattr(after, part), whole[kept[whole]])


def test_split_follows_from_the_seed_alone() -> None:
    """The same seed deals the same beats, another seed others; the order is frozen for ever."""
    first, again = (split_beats(_beats(), fold=0, seed=3) for _ in range(2))
    other = split_beats(_beats(), fold=0, seed=4)

    assert _rows(first) == _rows(again) != _rows(other)
    assert first.train[:5].tolist() == [1956, 1634, 135, 1775, 298]


def _rows(split: Split) -> list[list[int]]:
    return [split.train.tolist(), split.validation.tolist(), split.test.tolist()]


def test_fold_that_is_none_is_refused() -> None:
    """There are folds 0 to 4."""
    with pytest.raises(ValueError, match="fold 5"):
        split_beats(_beats(), fold=5, seed=0)


def _patients(detected: np.ndarray | None = None) -> Beats:
    """A hundred beats of every record, a tenth of them ventricular."""
    beats = _beats(detected, n=100 * len(RECORDS))
    return Beats(
        windows=beats.windows,
        symbols=beats.symbols,
        records=np.repeat(RECORDS, 100),
        samples=beats.samples,
        detected=beats.detected,
    )


def test_patients_are_those_of_de_chazal() -> None:
    """DS1 and DS2 share no record and leave none out; nor do the halves of DS1."""
    assert len(DS1) == len(DS2) == 22
    assert sorted((*DS1, *DS2)) == list(RECORDS)
    assert len(DS1A) == len(DS1B) == 11
    assert sorted((*DS1A, *DS1B)) == list(DS1)


@pytest.mark.parametrize(("name", "records"), [("ds1", DS1), ("ds1a", DS1A), ("ds1b", DS1B)])
def test_split_of_patients_touches_nobody_else(name: str, records: tuple[str, ...]) -> None:
    """Nine tenths of their normal beats train; a tenth of all their beats validates; no test."""
    beats = _patients()
    split = split_named(beats, name, seed=0)

    assert set(beats.records[split.train]) <= set(records)
    assert set(beats.records[split.validation]) <= set(records)
    assert beats.normal[split.train].all()
    assert split.train.size == 81 * len(records)
    assert np.count_nonzero(beats.normal[split.validation]) == 9 * len(records)
    assert np.count_nonzero(~beats.normal[split.validation]) == len(records)
    assert not np.isin(split.train, split.validation).any()
    assert split.test.size == 0


def test_better_detector_moves_no_beat_of_a_patient() -> None:
    """Normal beats the detector misses drop out of their part; the others stay where they are."""
    detected = np.random.default_rng(0).random(100 * len(RECORDS)) < 0.8
    kept = detected | ~_patients().normal
    whole, less = (split_patients(_patients(d), DS1, seed=5) for d in (None, detected))

    for part in ("train", "validation"):
        rows = getattr(whole, part)
        np.testing.assert_array_equal(getattr(less, part), rows[kept[rows]])


def test_split_of_patients_follows_from_the_seed_alone() -> None:
    """The same seed deals the same beats, another seed others; the order is frozen for ever."""
    first, again, other = (split_patients(_patients(), DS1, seed=s) for s in (3, 3, 4))

    assert _rows(first) == _rows(again) != _rows(other)
    assert first.train[:5].tolist() == [3904, 105, 3779, 3499, 1263]


def test_every_split_has_a_name() -> None:
    """The folds by their number, patients by theirs; any other name is refused with the list."""
    beats = _patients()
    for fold in range(5):
        assert _rows(split_named(beats, str(fold), seed=2)) == _rows(
            split_beats(beats, fold=fold, seed=2)
        )
    assert {len(split_named(beats, name, seed=0).train) for name in SPLITS[:5]} == {3168}
    with pytest.raises(ConfigError, match="'ds2': choose one of 0, 1, 2, 3, 4, ds1, ds1a, ds1b"):
        split_named(beats, "ds2", seed=0)


def test_taking_rows_keeps_a_beat_together() -> None:
    """Every field of the taken beats is that of its row."""
    beats = _patients(np.arange(100 * len(RECORDS)) % 3 == 0)
    beats.windows[:, 0] = np.arange(len(beats.windows))
    rows = np.array([4000, 7, 7])

    taken = beats.take(rows)

    assert taken.windows[:, 0].tolist() == [4000, 7, 7]
    for field in ("symbols", "records", "samples", "detected"):
        np.testing.assert_array_equal(getattr(taken, field), getattr(beats, field)[rows])


def test_digest_follows_the_annotations() -> None:
    """A moved or renamed annotation changes the digest, a better detector does not."""
    beats = _beats()
    same = _beats(np.zeros(2000, dtype=bool))
    moved = _beats()
    moved.samples[7] += 1
    renamed = _beats()
    renamed.symbols[7] = "V"

    assert annotation_digest(beats) == annotation_digest(same)
    assert len({annotation_digest(b) for b in (beats, moved, renamed)}) == 3


def test_distance_is_to_the_nearest_peak() -> None:
    """Against every pair; and infinitely far where there is no peak at all."""
    random = np.random.default_rng(2)
    samples, peaks = random.integers(0, 1000, 50), np.sort(random.integers(0, 1000, 30))
    expected = np.abs(samples[:, None] - peaks).min(axis=1)

    np.testing.assert_array_equal(distance_to_nearest(samples, peaks), expected)
    assert (distance_to_nearest(samples, peaks[:0]) > 10**9).all()


def test_missing_records_are_named(tmp_path: Path) -> None:
    """The error names what is missing and how to get it."""
    for name in RECORDS[1:]:
        for extension in ("hea", "dat", "atr"):
            (tmp_path / f"{name}.{extension}").touch()
    with pytest.raises(InputError, match=r"\(100\).*monitor fetch mitdb"):
        database_folder(tmp_path)
    with pytest.raises(InputError, match="lacks 44"):
        load_beats(tmp_path / "nowhere")


@pytest.mark.data
def test_protocol_has_the_beats_of_the_paper() -> None:
    """10,851 abnormal beats as in the paper; of the normal ones the detector finds nearly all."""
    beats = load_beats(database("mitdb"))

    assert np.count_nonzero(~beats.normal) == pytest.approx(10_851, abs=5)
    assert np.count_nonzero(beats.normal & beats.detected) > 86_717
    assert set(beats.records) == set(RECORDS)
    assert np.abs(beats.windows).max() <= 1.0 + 1e-6
