"""`monitor log export --parquet`: a table that other programs read with its types."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from monitor.alert_table import COLUMNS
from monitor.commands.log import write_exports
from pipeline.errors import ConfigError
from pipeline.log.store import AlertLog
from pipeline.schema.public import Alert, Latency
from tests.monitor.cli.test_app import exit_code
from tests.support.logs import alert, filled_log

pytestmark = pytest.mark.system


def export(log: Path, file: Path) -> list[str]:
    """Export a log as Parquet alone."""
    return write_exports(
        log, csv_file=None, json_lines=None, wfdb=None, parquet=file,
        on_progress=lambda done, total: None,
    )  # fmt: skip


def test_every_field_of_an_alert_has_a_column() -> None:
    """A field that is added to the alerts is missed here first."""
    assert tuple(COLUMNS) == Alert.__struct_fields__


def test_the_table_is_read_back_with_its_types(tmp_path: Path) -> None:
    """Times are times, tables maps, what is absent null, and no alert is missing."""
    log, file = tmp_path / "log", tmp_path / "folder" / "alerts.parquet"
    with AlertLog(log) as writer:
        writer.append(
            [alert(n, utc="2026-11-21T10:15:30.120Z", ticks=[1, 2], shares={"model": 1.5},
                   leads={"II": "beats"}, latency_ms=Latency(total=2.5), bpm=None)
             for n in range(1, 10_002)]
        )  # fmt: skip
    assert export(log, file) == [f"10001 alerts in {file}"]
    table = pq.read_table(file)
    assert table.schema.names == list(COLUMNS)
    assert [field.type for field in table.schema] == list(COLUMNS.values())
    assert table.column("seq").to_pylist() == list(range(1, 10_002))
    row = table.slice(5_678, 1).to_pylist()[0]
    assert row["utc"] == datetime(2026, 11, 21, 10, 15, 30, 120_000, tzinfo=UTC)
    assert (row["ticks"], row["shares"]) == ([1, 2], [("model", 1.5)])
    assert (row["leads"], row["latency_ms"]["total"]) == ([("II", "beats")], 2.5)
    assert (row["bpm"], row["event_utc"], row["values"]) == (None, None, None)
    assert [path.name for path in file.parent.iterdir()] == ["alerts.parquet"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """One line; the log itself is never replaced."""
    log = tmp_path / "log"
    filled_log(log)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write"):
        export(log, tmp_path / "file" / "alerts.parquet")
    with pytest.raises(ConfigError, match="itself being read"):
        export(log, log)


def test_without_a_file_the_command_says_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One line names the options."""
    assert exit_code(monkeypatch, "log", "export", str(tmp_path / "log")) == 2
    assert "--parquet FILE" in capsys.readouterr().err
