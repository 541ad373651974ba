"""The published protocol: which beats, which split."""

from pathlib import Path

import numpy as np
import pytest
from databases import database

from models.dataset import (
    RECORDS,
    Beats,
    Split,
    annotation_digest,
    database_folder,
    distance_to_nearest,
    load_beats,
    split_beats,
)
from pipeline.errors import InputError


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
    """The error says what is missing and how to get it."""
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
