"""`monitor log export`: alerts as CSV, JSON lines and WFDB annotations, whole or not at all."""

import csv
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli import app as cli
from monitor.commands.log import export_trends, forget_stream, write_exports
from pipeline.errors import ConfigError, InputError, LogError
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.public import Alert, decode_alert, decode_trend
from replay.annotations import note_bytes, read_annotations
from tests.support.logs import alert, changed, filled_log, old_log, trend

pytestmark = pytest.mark.system

HEADER = "{name} 1 360 650000\n{name}.dat 212 200 12 0 0 0 0 MLII\n"


def export(log: Path, folder: Path, on_progress=lambda done, total: None) -> list[str]:
    """Export a log in every form."""
    return write_exports(
        log,
        csv_file=folder / "a.csv",
        json_lines=folder / "a.jsonl",
        wfdb=folder,
        on_progress=on_progress,
    )


def test_table_and_lines_hold_every_field_of_every_alert(tmp_path: Path) -> None:
    """JSON lines are those of subscribers; the table has a column for each field."""
    log = tmp_path / "log.sqlite"
    filled_log(log, alerts=1201)
    with AlertLog(log) as writer:
        kept = writer.read(1, 2000)

    assert export(log, tmp_path)[:2] == [
        f"1201 alerts in {tmp_path / n}" for n in ("a.csv", "a.jsonl")
    ]

    lines = (tmp_path / "a.jsonl").read_bytes().splitlines()
    assert [decode_alert(line) for line in lines] == kept
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(Alert.__struct_fields__)
    assert [int(row["seq"]) for row in rows] == list(range(1, 1202))
    assert json.loads(rows[6]["latency_ms"])["total"] == 0.0


def test_trends_are_exported_as_they_were_recorded(tmp_path: Path) -> None:
    """Every minute, more than are read at a time, in the order in which they were recorded."""
    log, table, lines = (tmp_path / name for name in ("log.sqlite", "t.csv", "t.jsonl"))
    minutes = [trend(n) for n in range(501)]
    with AlertLog(log) as writer:
        writer.commit(Commit(trends=minutes))

    export_trends(log, csv_file=table, json_lines=lines)

    written = lines.read_bytes().splitlines()
    assert [decode_trend(line) for line in written] == minutes
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stream"], float(row["time_s"])) for row in rows] == [
        (one.stream, one.time_s) for one in minutes
    ]


def test_cells_cannot_be_formulas(tmp_path: Path) -> None:
    """Text that a spreadsheet would take for a formula is quoted; numbers stay numbers."""
    log = tmp_path / "log.sqlite"
    with AlertLog(log) as writer:
        writer.append([alert(1, reason='=HYPERLINK("x","a,b")\n', bpm=-1.5, stream="-x")])

    export(log, tmp_path)

    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["reason"] == '\'=HYPERLINK("x","a,b")\n'
    assert (row["stream"], row["bpm"]) == ("'-x", "-1.5")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, within wfdb
def test_annotations_lie_where_the_alerts_are(tmp_path: Path) -> None:
    """There is a file for each stream and epoch, which WFDB's package and ours can read."""
    import wfdb

    log = tmp_path / "log.sqlite"
    with AlertLog(log) as writer:
        writer.append(
            [
                alert(500_000, kind="asystole", priority="high"),
                alert(10, stream="a.b"),
                alert(400, stream="a_b"),
                alert(499_000, kind="asystole", priority="high", state="off"),
                alert(7, epoch=2),
                alert(0, stream="", kind="no_scorer"),
            ]
        )
    (tmp_path / "100.hea").write_text(HEADER.format(name="100"))

    lines = export(log, tmp_path)

    assert lines[2] == f"5 alerts in 4 annotation files in {tmp_path}; 1 are about no signal"
    for found in (
        wfdb.rdann(str(tmp_path / "100"), "alarm"),
        read_annotations(tmp_path / "100.hea", "alarm"),
    ):
        assert list(found.sample) == [499_000, 500_000]
        assert list(found.symbol) == ['"', '"']
        assert list(found.aux_note) == ["asystole off high", "asystole on high"]
    assert {file.name for file in tmp_path.glob("*.alarm")} == {
        "100.alarm",
        "100_epoch2.alarm",
        "a_b.alarm",
        "a_b_2.alarm",
    }


def test_streams_whose_names_are_alike_for_wfdb_get_separate_files(tmp_path: Path) -> None:
    """No stream overwrites the file of another, whatever numbers the names end with."""
    log = tmp_path / "log.sqlite"
    names = ["a.b", "a_b", "a_b_2", "a_b_3", "a-b"]
    with AlertLog(log) as writer:
        writer.append([alert(n, stream=name) for n, name in enumerate(names)])

    lines = export(log, tmp_path)

    files = list(tmp_path.glob("*.alarm"))
    assert f"{len(names)} annotation files" in lines[-1]
    assert len(files) == len(names)


@given(
    notes=st.lists(
        st.tuples(st.integers(0, 2**40), st.text(st.characters(max_codepoint=255), max_size=255)),
        max_size=20,
    )
)
def test_notes_are_read_back_as_written(
    notes: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Samples may have any order and distance, and notes any text."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "r.hea").write_text(HEADER.format(name="r"))
    (folder / "r.alarm").write_bytes(note_bytes(notes))

    found = read_annotations(folder / "r.hea", "alarm")

    assert list(zip(found.sample.tolist(), found.aux_note, strict=True)) == sorted(notes)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_logs_of_every_version_are_exported_and_left_alone(version: int, tmp_path: Path) -> None:
    """Reading does not upgrade an old log."""
    log = tmp_path / "log.sqlite"
    old_log(log, version)
    before = log.read_bytes()

    export(log, tmp_path / "out")

    assert len((tmp_path / "out/a.jsonl").read_bytes().splitlines()) == 3
    assert log.read_bytes() == before


def test_export_of_a_log_in_use_has_the_alerts_of_its_beginning(
    tmp_path: Path,
) -> None:
    """A hub can write and checkpoint its log during the export."""
    log = tmp_path / "log.sqlite"
    with AlertLog(log) as writer:
        writer.append([alert(n) for n in range(1200)])

        def on_progress(done: int, total: int) -> None:
            writer.append([alert(done)])
            writer.checkpoint()
            assert writer.wal_bytes == 0

        export(log, tmp_path, on_progress)
        assert writer.last_seq == 1203

    assert len((tmp_path / "a.jsonl").read_bytes().splitlines()) == 1200


@pytest.mark.parametrize("fault", ["removed", "damaged", "missing"])
def test_no_file_is_left_incomplete(fault: str, tmp_path: Path) -> None:
    """Where the export fails, the files of before are unchanged."""
    log = tmp_path / "log.sqlite"
    (tmp_path / "a.csv").write_text("before")
    with AlertLog(log) as writer:
        writer.append([alert(n) for n in range(1200)])
    if fault == "damaged":
        changed(log, "UPDATE alert SET body = x'00' WHERE seq = 700")
    elif fault == "missing":
        changed(log, "DELETE FROM alert WHERE seq = 700")

    def on_progress(done: int, total: int) -> None:
        if fault == "removed":
            with AlertLog(log) as writer:
                writer.remove_before(1100)

    with pytest.raises(LogError, match=r"alert 700|start again"):
        export(log, tmp_path, on_progress)

    left = {file.name for file in tmp_path.iterdir()} - {"log.sqlite"}
    assert left <= {"a.csv", "log.sqlite-wal", "log.sqlite-shm"}
    assert (tmp_path / "a.csv").read_text() == "before"


def test_command_writes_the_files_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints nothing on stdout; naming no file, or an impossible one, is bad usage."""
    log, out = tmp_path / "log.sqlite", tmp_path / "out"
    filled_log(log)

    def code(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["monitor", "log", "export", str(log), *arguments])
        try:
            cli.main()
        except SystemExit as left:
            return int(left.code or 0)
        return 0

    assert code("--csv", str(out / "a.csv"), "--wfdb", str(out)) == 0
    assert {file.name for file in out.iterdir()} == {"a.csv", "100.alarm"}
    assert capsys.readouterr().out == ""
    assert code() == 2
    assert code("--json", str(log / "below" / "a.json")) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["log", "log-wal", "log-lock", "link", "a/../log", "same"])
@pytest.mark.parametrize("form", ["csv_file", "json_lines"])
def test_an_export_never_replaces_what_it_reads(tmp_path: Path, target: str, form: str) -> None:
    """By any name, also while a hub writes it; nor the other file of the same export."""
    log = tmp_path / "log"
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(log)
    filled_log(log)
    with AlertLog(log) as writer:
        writer.append([alert(1)])
        before = {path: path.stat().st_ino for path in tmp_path.iterdir()}
        files = {"csv_file": None, "json_lines": None, form: tmp_path / target}
        if target == "same":
            files = dict.fromkeys(files, tmp_path / "same")
        with pytest.raises(ConfigError, match="read or written"):
            write_exports(log, **files, wfdb=None, on_progress=lambda done, total: None)
        assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == before


def test_a_log_named_like_an_annotation_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    """Annotations are named after streams, and a source chooses the name of its stream."""
    log = tmp_path / "100.alarm"
    filled_log(log)
    with pytest.raises(ConfigError, match="read or written"):
        write_exports(
            log, csv_file=None, json_lines=None, wfdb=tmp_path, on_progress=lambda done, total: None
        )
    assert export(log, tmp_path / "elsewhere")


def test_a_pipe_is_not_replaced_by_a_file_and_a_link_leads_to_it(tmp_path: Path) -> None:
    """A reader of the pipe would wait for ever; a link is kept and its target replaced."""
    log = tmp_path / "log"
    filled_log(log)
    os.mkfifo(tmp_path / "pipe")
    for form in ("csv_file", "json_lines"):
        files = {"csv_file": None, "json_lines": None, form: tmp_path / "pipe"}
        with pytest.raises(ConfigError, match="no file that could be replaced"):
            write_exports(log, **files, wfdb=None, on_progress=lambda done, total: None)
    assert (tmp_path / "pipe").is_fifo()

    (tmp_path / "a.csv").symlink_to("real.csv")
    (tmp_path / "real.csv").write_text("old")
    export(log, tmp_path)
    assert (tmp_path / "a.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("schema,")


def test_an_alert_beyond_any_signal_gets_no_annotation(tmp_path: Path) -> None:
    """Reaching it in steps of 2**31 samples would fill a file."""
    log = tmp_path / "log"
    with AlertLog(log) as writer:
        writer.append([alert(2**62), alert(7)])
    assert export(log, tmp_path)[-1].endswith("1 are about no signal")


def test_a_picture_never_replaces_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`monitor show --png` is refused before it draws."""
    log = tmp_path / "log"
    filled_log(log)
    arguments = ["monitor", "show", "4", "--log", str(log), "--png", str(log)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "name another place" in capsys.readouterr().err
    with AlertLog(log) as whole:
        assert whole.last_seq == 40


def test_forgetting_a_name_that_is_no_utf_8_is_one_line(tmp_path: Path) -> None:
    """As a terminal in Latin-1 sends it; no stream has such a name."""
    log = tmp_path / "log.sqlite"
    AlertLog(log).close()

    with pytest.raises(InputError, match="holds nothing of"):
        forget_stream(log, "M\udcfcller", yes=True, as_json=False)


def test_forgetting_says_that_the_log_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Afterwards nothing shows it: the rows that were changed are gone."""
    log = tmp_path / "log.sqlite"
    with AlertLog(log) as writer:
        writer.commit(Commit(alerts=[alert(1)]))
    changed(log, "UPDATE alert SET crc32 = crc32 + 1")

    forget_stream(log, alert(1).stream, yes=True, as_json=False)

    assert "which is damaged" in capsys.readouterr().out
