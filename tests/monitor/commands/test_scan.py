"""A scan of a record: every beat that can be analysed has its class, printed and annotated."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from monitor.api.analysis import analyze
from monitor.commands import scan
from monitor.commands.scan import ANNOTATOR, scan_records
from monitor.run.workers import records_progress
from pipeline.schema.public import decode_trend
from replay.annotations import read_annotations, read_beats
from replay.demo import write_demo
from replay.records import read_leads

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
    marks = read_annotations(record, ANNOTATOR)
    changes = [n for n, symbol in enumerate(marks.symbol) if symbol == "+"]
    assert [marks.aux_note[n] for n in changes] == ["(N"]
    assert marks.sample[changes[0]] == samples[0]


def test_minutes_are_printed_as_they_are_in_an_analysis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object each, that a subscriber would receive; Python has the same numbers."""
    record = write_demo(tmp_path)
    scan_records(
        [str(record)], lead=None, false_alerts_per_hour=None, alarms=None, pseudonyms=None,
        as_json=False, beats=False, trends=True, annotations=None,
    )  # fmt: skip
    *lines, summary = capsys.readouterr().out.splitlines()
    trends = [decode_trend(line.encode()) for line in lines]

    table = analyze(record).trends

    assert table["time_s"].tolist() == [one.time_s for one in trends]
    assert table["V"].tolist() == [one.classes["V"] for one in trends]
    assert np.array_equal(
        table["bpm_max"], [np.nan if t.bpm_max is None else t.bpm_max for t in trends],
        equal_nan=True,
    )  # fmt: skip
    assert table["beats"].sum() == json.loads(summary)["beats"] > 0


def test_a_record_is_watched_by_all_its_ecg_leads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once on stderr and in the summary; a record of one lead says nothing of it."""
    header = write_demo(tmp_path, ["V1"])
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
    header = write_demo(tmp_path, ["V1"])
    both = np.fromfile(tmp_path / "demo.dat", "<i2").reshape(-1, 2)
    both[:, [0, 0]].tofile(tmp_path / "demo.dat")

    scan_records(
        [str(header)], lead="all", false_alerts_per_hour=None, alarms=None, pseudonyms=None,
        as_json=True, beats=False, annotations=None,
    )  # fmt: skip

    said = capsys.readouterr()
    summary = json.loads(said.out.splitlines()[-1])
    assert summary["leads"] == {"demo": "MLII, V1"}
    assert summary["beats"] > 100
    assert "V1 is MLII: it adds no view" in said.err
    assert read_leads(header, "all")[1].shape == (2, len(both))


def test_several_processes_print_and_write_what_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which records are named; each moves the progress that a terminal shows."""
    shown: list[Progress] = []

    def watched() -> Progress:
        shown.append(records_progress())
        return shown[-1]

    monkeypatch.setattr(scan, "records_progress", watched)
    records = []
    for name in ("b", "a", "c"):
        folder = tmp_path / name
        folder.mkdir()
        records.append(str(write_demo(folder)))
    said = []
    for jobs in (1, 2):
        out = tmp_path / f"jobs-{jobs}"
        out.mkdir()
        scan_records(
            records, lead=None, false_alerts_per_hour=None, alarms=None, pseudonyms=None,
            as_json=True, beats=False, annotations=out, jobs=jobs,
        )  # fmt: skip
        *lines, summary = map(json.loads, capsys.readouterr().out.splitlines())
        files = {file.name: file.read_bytes() for file in sorted(out.iterdir())}
        said.append((lines, {**summary, "wall_s": 0}, files))
    assert said[0] == said[1]
    assert said[0][1]["streams"] == ["demo", "demo-2", "demo-3"]
    assert [(task.completed, task.total) for one in shown for task in one.tasks] == [(3, 3)] * 2
