"""The beats to train on: whose they are, of which class, and the parts of their patients."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.data import training_beats
from models.data.detected_beats import DetectedRecord
from models.data.heavy_ectopy import LEADING_BEATS
from models.data.mitdb import DATABASE, DS1, DS2, RECORDS
from models.data.training_beats import (
    ANNOTATED,
    CINC17,
    DATABASES,
    FIBRILLATION,
    NORMAL_RHYTHM,
    OTHER_VIEW,
    PARTS,
    RHYTHMS,
    STREAM,
    SVDB,
    annotated,
    part_of,
    record_names,
    streams_of,
    training_records,
)
from pipeline.constants import CLASSES, MEASURES, WINDOW_SAMPLES
from pipeline.errors import InputError
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.records import write_beats

NAMES = {
    DATABASE: DS1,
    SVDB: tuple(map(str, range(800, 839))),
    CINC17: tuple(f"{kind}/A{n:05}" for kind in RHYTHMS for n in range(10)),
}


def detected(classes: str, name: str = "800") -> DetectedRecord:
    """Return beats of these classes, a second apart."""
    beats = len(classes)
    random = np.random.default_rng(beats)
    return DetectedRecord(
        name=name,
        fs_hz=360.0,
        samples=360 * np.arange(beats),
        windows=random.uniform(-1, 1, (beats, WINDOW_SAMPLES)).astype(np.float32),
        rr_s=np.full(beats, 0.8),
        measures=np.zeros((beats, MEASURES), dtype=np.float32),
        second=np.zeros((beats, MEASURES), dtype=np.float32),
        analysable=np.ones(beats, dtype=bool),
        classes=np.array(list(classes)),
        missed=np.array([], dtype="<U1"),
        missed_samples=np.array([], dtype=np.int64),
    )


def empty_records(folder: Path, *names: str) -> None:
    """Write files by the names of records, for what looks at names alone."""
    for name in names:
        path = folder / f"{name}.hea"
        path.parent.mkdir(parents=True, exist_ok=True)
        for extension in ("hea", "dat", "atr"):
            path.with_suffix(f".{extension}").touch()


def test_each_patient_is_in_one_part() -> None:
    """The parts are disjoint and cover all records; each has records of every database."""
    part = {name: part_of(name, NAMES) for names in NAMES.values() for name in names}

    assert set(part.values()) == set(range(PARTS))
    assert len(part) == sum(map(len, NAMES.values()))
    for names in NAMES.values():
        assert {part[name] for name in names} == set(range(PARTS))
    assert not set(part) & set(DS2)


def test_the_parts_by_hand_are_ds1() -> None:
    """Each patient of DS1 is in one of the parts that were divided by hand, no other is."""
    dealt = [name for names in training_beats.FOLDS for name in names]
    assert sorted(dealt) == sorted(DS1)


def test_a_stream_belongs_to_its_patient() -> None:
    """It carries the name of the record it is made of, so that it stays in the patient's part."""
    found = detected("NNNNSN" * 60)
    streams = list(streams_of(found, SVDB))

    assert [(one.name, one.database, one.kind) for one in streams] == [("800", SVDB, STREAM)]
    own = {window.tobytes() for window in found.windows}
    assert {window.tobytes() for window in streams[0].windows} <= own


def test_the_beginning_of_a_stream_is_not_learned_twice() -> None:
    """It is the record's own, which is learned from already; nothing of the record changes."""
    found = detected("NNNNSN" * 60)
    stream = next(streams_of(found, SVDB))

    assert not stream.usable[:LEADING_BEATS].any()
    assert stream.usable[LEADING_BEATS:].all()
    assert found.analysable.all()
    assert np.isfinite(stream.measures).all()
    assert list(streams_of(detected("NNNNVN" * 60), SVDB)) == []


def test_rows_are_usable_beats_of_a_class() -> None:
    """What cannot be analysed, and what has no class to learn, is in no row."""
    one = annotated(detected("NSVFQ-NS"), SVDB)
    usable = one.usable.copy()
    usable[0] = False
    rows = [replace(one, usable=usable).rows(number).tolist() for number in range(len(CLASSES))]

    assert one.kind == ANNOTATED
    assert rows == [[6], [1, 7], [2], [3]]


def test_beats_of_a_rhythm_are_n(tmp_path: Path) -> None:
    """Where annotators named the rhythm alone, all beats that can be analysed are N."""
    patient = SyntheticPatient(PatientConfig(ectopic=0.2, seed=5)).generate(30 * 300)
    for name in (f"{NORMAL_RHYTHM}/A00001", f"{FIBRILLATION}/A00002"):
        folder = tmp_path / CINC17 / name.split("/")[0]
        folder.mkdir(parents=True)
        stem = name.split("/")[1]
        np.round(200 * patient.samples).astype("<i2").tofile(folder / f"{stem}.dat")
        (folder / f"{stem}.hea").write_text(
            f"{stem} 1 300 {patient.samples.size}\n{stem}.dat 16 200/mV 16 0 0 0 0 ECG\n"
        )
    empty_records(tmp_path / DATABASE, *RECORDS)
    steps: list[str] = []

    found = training_records(
        tmp_path,
        {CINC17: (f"{NORMAL_RHYTHM}/A00001", f"{FIBRILLATION}/A00002")},
        steps.append,
    )

    assert [(one.kind, one.database) for one in found] == [(kind, CINC17) for kind in RHYTHMS]
    for one in found:
        assert set(one.classes.tolist()) == {"N"}
        assert one.usable.sum() > 10
        assert one.windows.shape == (one.usable.size, WINDOW_SAMPLES)
        assert one.measures.shape == (one.usable.size, MEASURES)
    assert steps == [f"{CINC17} {one.name}" for one in found]


def test_a_second_lead_is_another_view_of_the_same_patient(tmp_path: Path) -> None:
    """Its beats are found in that lead, have the classes of the record, and stay in its part."""
    patient = SyntheticPatient(PatientConfig(ectopic=0.2, seed=5, fs=360.0)).generate(60 * 360)
    both = np.column_stack((patient.samples, -0.5 * patient.samples))
    folder = tmp_path / SVDB
    folder.mkdir()
    np.round(400 * both).astype("<i2").tofile(folder / "800.dat")
    lines = [f"800.dat 16 400/mV 16 0 0 0 0 ECG{lead}" for lead in (1, 2)]
    (folder / "800.hea").write_text("\n".join([f"800 2 360 {len(both)}", *lines]) + "\n")
    write_beats(folder, "800", "atr", patient.beats, ["V"] * patient.beats.size, 360)
    empty_records(tmp_path / DATABASE, *RECORDS)

    found = training_records(tmp_path, {SVDB: ("800",)})

    assert [(one.kind, one.name) for one in found] == [(ANNOTATED, "800"), (OTHER_VIEW, "800")]
    first, other = found
    assert min((one.classes == "V").sum() for one in found) > 0.9 * patient.beats.size
    away = np.abs(first.windows[5] - other.windows[5]).max()
    assert away > 0.5  # the second lead is the first one upside down


def test_records_are_named_by_database(tmp_path: Path) -> None:
    """Of mitdb DS1 alone; of the Challenge 2017 the rhythms that say what the beats are."""
    empty_records(tmp_path / DATABASE, *RECORDS)
    empty_records(tmp_path / SVDB, "801", "800")
    empty_records(tmp_path / CINC17, "normal/A1", "af/A2", "other/A3", "noisy/A4")

    assert record_names(tmp_path, DATABASES) == {
        DATABASE: DS1,
        SVDB: ("800", "801"),
        CINC17: ("normal/A1", "af/A2"),
    }
    assert record_names(tmp_path, (DATABASE,)) == {DATABASE: DS1}


@pytest.mark.parametrize(("present", "missing"), [(CINC17, SVDB), (SVDB, CINC17)])
def test_a_missing_database_is_named(tmp_path: Path, present: str, missing: str) -> None:
    """With what fetches it."""
    empty_records(tmp_path / DATABASE, *RECORDS)
    empty_records(tmp_path / present, "800", "normal/A1")

    with pytest.raises(InputError, match=f"monitor fetch {missing}"):
        record_names(tmp_path, DATABASES)
