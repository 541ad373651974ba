"""A scan of a record: every beat that can be analysed has its class, printed and annotated."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.commands.scan import ANNOTATOR, scan_records
from replay.annotations import read_beats
from replay.demo import write_demo
from replay.records import read_leads
from replay.synthetic import PatientConfig, SyntheticPatient

pytestmark = pytest.mark.system


def test_beats_and_annotations_have_the_class_of_each_beat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """N, S, V or F, and Q where a beat cannot be analysed."""
    record = write_demo(tmp_path)

    scan_records(
        [str(record)], lead=None, false_alerts_per_hour=None, alarms=None, pseudonyms=None,
        as_json=False, beats=True, annotations=tmp_path,
    )  # fmt: skip

    *beats, _ = map(json.loads, capsys.readouterr().out.splitlines())
    named = [beat["beat_class"] for beat in beats]
    assert [name is not None for name in named] == [beat["analysable"] for beat in beats]
    assert {None, "N", "V"} <= set(named)
    samples, symbols = read_beats(record, ANNOTATOR)
    assert samples.tolist() == [beat["sample"] for beat in beats]
    assert symbols == [name or "Q" for name in named]


def with_second_lead(folder: Path, second: NDArray[np.int16]) -> Path:
    """Write the demo record with a second lead V1 into ``folder``; return its header."""
    header = write_demo(folder)
    one = np.fromfile(folder / "demo.dat", "<i2")
    np.stack([one, second[: one.size]], axis=1).tofile(folder / "demo.dat")
    lines = header.read_text().splitlines()
    v1 = lines[1].replace("MLII", "V1")
    header.write_text("\n".join([lines[0].replace("demo 1", "demo 2"), lines[1], v1]) + "\n")
    return header


def test_a_record_is_watched_by_all_its_ecg_leads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once on stderr and in the summary; a record of one lead says nothing of it."""
    patient = SyntheticPatient(PatientConfig(fs=360, leads=("V1",)))
    header = with_second_lead(tmp_path, (patient.generate(360 * 120).samples * 200).astype("<i2"))
    scan_records(
        [str(header)], lead=None, false_alerts_per_hour=None, alarms=None, pseudonyms=None,
        as_json=False, beats=False, annotations=None,
    )  # fmt: skip
    said = capsys.readouterr()
    assert said.err == (
        "monitor: demo: leads 'MLII', 'V1' are taken, the usual one for rhythm first; "
        "--lead takes others\n"
    )
    assert "leads    MLII, V1 of demo\n" in said.out

    write_demo(tmp_path)
    scan_records(
        [str(header)], lead=None, false_alerts_per_hour=None, alarms=None, pseudonyms=None,
        as_json=False, beats=False, annotations=None,
    )  # fmt: skip
    said = capsys.readouterr()
    assert said.err == ""
    assert "leads" not in said.out


def test_all_leads_of_a_record_are_scanned_as_one_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was taken is said on stderr where there is something to say, and in the summary."""
    one = np.fromfile(write_demo(tmp_path).with_name("demo.dat"), "<i2")
    header = with_second_lead(tmp_path, one)

    scan_records(
        [str(header)], lead="all", false_alerts_per_hour=None, alarms=None, pseudonyms=None,
        as_json=True, beats=False, annotations=None,
    )  # fmt: skip

    said = capsys.readouterr()
    summary = json.loads(said.out.splitlines()[-1])
    assert summary["leads"] == {"demo": "MLII, V1"}
    assert summary["beats"] > 100
    assert "V1 is MLII: it adds no view" in said.err
    assert read_leads(header, "all")[1].shape == (2, one.size)
