"""What the processes write to stderr, as JSON for programs or as text for people."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.log_format import VARIABLE, JsonLines
from tests.monitor.run.test_system import DEADLINE_S, environment, finish

pytestmark = pytest.mark.system


def line_of(message: str, *paths: str, **extra: object) -> dict[str, object]:
    """Return the JSON object of a message, which must be one line of ASCII."""
    record = logging.makeLogRecord({"msg": message, "name": "n", "levelname": "INFO", **extra})
    text = JsonLines("hub", paths).format(record)
    assert text.isascii()
    assert text.isprintable()
    line: dict[str, object] = json.loads(text)
    return line


@given(st.text(), st.text())
def test_any_message_is_one_line_of_json(message: str, stream: str) -> None:
    """Newlines, escape codes and lone surrogates are escaped."""
    line = line_of(message.replace("/", ""), stream=stream)
    assert line["message"] == message.replace("/", "")
    assert line["stream"] == stream


def test_line_has_time_level_and_origin() -> None:
    """It has time in UTC, level, logger, stage and process; a stream only where there is one."""
    line = line_of("m", created=0.25, process=7)
    assert line == {
        "time": "1970-01-01T00:00:00.250Z", "level": "info", "logger": "n", "stage": "hub",
        "pid": 7, "message": "m",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("no record /ward 3/Jane Doe/100.hea: look", "no record 100.hea: look"),
        ("no record 'cases/j.doe/100.hea'", "no record '100.hea'"),
        ("cannot write /var/lib/jane-doe/a.sqlite; free space?", "cannot write a.sqlite; free"),
        ("serves tcp://127.0.0.1:5570, 3/4 done, and/or", "serves tcp://127.0.0.1:5570, 3/4 done"),
        ("device /dev/ttyUSB0 is lost", "device ttyUSB0 is lost"),
        ("/", "/"),
    ],
)
def test_folders_are_removed(message: str, left: str) -> None:
    """Only the last part of a path is kept; paths of the command line may have spaces."""
    line = line_of(message, "/ward 3/Jane Doe/100.hea", "cases/j.doe/100", "demo")
    assert str(line["message"]).startswith(left)


def test_folders_are_removed_from_tracebacks() -> None:
    """A traceback keeps the files of the program, but no folders of patients."""
    try:
        raise ValueError("/patients/jane/100.dat")
    except ValueError:
        line = line_of("a bug", exc_info=sys.exc_info())
    assert "jane" not in str(line["exception"])
    assert "test_log_format.py" in str(line["exception"])
    assert str(line["exception"]).endswith("ValueError: 100.dat")


def test_a_run_logs_all_its_events_as_json(tmp_path: Path) -> None:
    """Hub, scorer and source by name, start and end of a stream; stdout is unchanged."""
    began = datetime.now(UTC).isoformat()
    run = finish(
        tmp_path, "replay", "demo", "--speed", "max", "--port", "0", "--json",
        "--log-format", "json",
    )  # fmt: skip
    lines = [json.loads(line) for line in run.stderr.decode().splitlines()]
    logged = {
        (line["stage"], line["logger"], line.get("stream"), line["message"]) for line in lines
    }

    assert run.returncode == 0
    assert all(json.loads(line) for line in run.stdout.splitlines())
    assert all(began <= line["time"] for line in lines)
    assert all(line["level"] == "info" for line in lines)
    stages = {(stage, logger) for stage, logger, _, _ in logged}
    assert {("hub", "monitor.stages.hub"), ("score", "monitor.stages.score")} < stages
    assert {("source", "monitor.stages.source"), ("hub", "pipeline.hub.hub")} < stages
    assert ("hub", "pipeline.hub.status", None, "scorers: 1, were 0") in logged
    assert ("hub", "pipeline.hub.hub", "demo", "a source begins, 360 Hz") in logged
    assert ("demo", "the stream is over") in {(stream, message) for *_, stream, message in logged}
    assert any(message.startswith("scores for tcp://127.0.0.1:") for *_, message in logged)
    assert str(tmp_path) not in run.stderr.decode()


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """One that is neither text nor JSON; what a run writes by default, see test_safe_path."""
    refused = finish(tmp_path, "replay", "demo", "--port", "0", "--log-format", "xml")
    assert refused.returncode == 2
    assert b"--log-format" in refused.stderr


def test_refusal_is_json_too_and_names_no_folder(tmp_path: Path) -> None:
    """For an unusable record: exit 2, and one JSON line with its name, without its folder."""
    folder = tmp_path / "Jane Doe"
    folder.mkdir()
    (folder / "r7.hea").write_text("nonsense\n")
    run = finish(tmp_path, "replay", f"{folder}/r7.hea", "--port", "0", "--log-format", "json")
    [line] = map(json.loads, run.stderr.decode().splitlines())

    assert run.returncode == 2
    assert (line["level"], line["stage"]) == ("error", "replay")
    assert "r7" in line["message"]
    assert "Doe" not in run.stderr.decode()


def test_a_bug_is_json_too(tmp_path: Path) -> None:
    """Exit code 1, and the traceback within one line."""
    code = (
        "import monitor.stages.hub, monitor.cli.app\n"
        "def fail(**_): raise ZeroDivisionError('so')\n"
        "monitor.stages.hub.run_hub = fail\n"
        "monitor.cli.app.main()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "hub"],
        env={**environment(tmp_path), VARIABLE: "json"}, capture_output=True, timeout=DEADLINE_S,
    )  # fmt: skip
    [line] = map(json.loads, run.stderr.decode().splitlines())

    assert run.returncode == 1
    assert (line["level"], line["stage"]) == ("critical", "hub")
    assert line["exception"].endswith("ZeroDivisionError: so")
