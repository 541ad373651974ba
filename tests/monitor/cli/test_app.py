"""The command line: every command listed, every option explained, exit codes as promised."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from monitor.cli import app as cli
from monitor.run.processes import Refused, child_command
from pipeline.constants import NOTICE
from pipeline.errors import InputError

COMMANDS = {
    "replay", "live", "subscribe", "scan", "hub", "score", "source", "train", "evaluate",
    "bench", "fetch", "status", "doctor",
}  # fmt: skip


def commands() -> Iterator[tuple[str, object]]:
    """Yield every command with its name, those of groups included."""
    top = typer.main.get_command(cli.app)
    for name, command in top.commands.items():  # type: ignore[attr-defined]
        yield name, command
        for below, inner in getattr(command, "commands", {}).items():
            yield f"{name} {below}", inner


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["monitor", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return int(exit_.value.code or 0)


def test_every_command_and_option_has_a_help_text() -> None:
    """No command without a help text, no visible option without one."""
    silent = []
    for name, command in commands():
        if not command.help:  # type: ignore[attr-defined]
            silent.append(name)
        for parameter in command.params:  # type: ignore[attr-defined]
            if not getattr(parameter, "hidden", False) and not getattr(parameter, "help", None):
                silent.append(f"{name} {parameter.name}")
    assert silent == []


def test_every_protocol_on_records_takes_leads_alike() -> None:
    """One option, with one form and one text, and the help of all evaluations lists who has it."""
    app = dict(commands())
    options = {
        name: [parameter for parameter in command.params if parameter.name == "lead"]  # type: ignore[attr-defined]
        for name, command in app.items()
        if name.split()[0] == "evaluate"
    }
    having = {name.split()[1] for name, found in options.items() if found}
    assert having == {"interpatient", "beats", "ec57", "noise", "alarms"}
    assert len({(one.metavar, one.help) for found in options.values() for one in found}) == 1
    listed = cli.evaluate_app.info.help
    assert all(f"`{name}`" in listed for name in having)


def test_help_lists_the_commands_and_has_the_notice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``monitor --help`` names every command and says that this is no medical device."""
    assert exit_code(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert NOTICE in " ".join(text.split())
    assert {name for name, _ in commands()} >= COMMANDS


def test_help_needs_no_heavy_import() -> None:
    """Torch, numba, wfdb and ZeroMQ are loaded by the commands that need them."""
    heavy = "{'torch', 'numba', 'wfdb', 'zmq', 'scipy', 'numpy', 'rich.progress'}"
    code = f"import sys, monitor.cli.app; sys.exit(str(sorted({heavy} & set(sys.modules)) or ''))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert run.stderr.strip() == ""


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (InputError("no such record"), 2, "monitor: no such record\n"),
        (Refused(2), 2, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    stderr: str,
) -> None:
    """Bad input is 2 with one line, without repeating what a child reported; Ctrl-C is 130."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("monitor.commands.scan.scan_records", fail)
    assert exit_code(monkeypatch, "scan", "demo") == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", stderr)


def test_a_bug_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any error but a MonitorError keeps its traceback and Python's exit code 1."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("monitor.commands.scan.scan_records", fail)
    monkeypatch.setattr(sys, "argv", ["monitor", "scan", "demo"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_without_a_command_it_shows_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of bad usage."""
    assert exit_code(monkeypatch) == 2
    out = "".join(capsys.readouterr())
    assert "replay" in out
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("replay demo --sped 2", "replay: no such option: --sped (Possible options: "),
        ("replay demo --record-format csv", "replay: invalid value for '--record-format': 'csv' "),
        ("replay", "replay: missing argument 'records'; "),
        ("scan demo --jobs many", "scan: invalid value for '--jobs': "),
        ("bridge mqqt", "bridge: no such command 'mqqt'"),
        ("bridge", "bridge: missing command; see monitor bridge --help"),
        ("nothing", "no such command 'nothing'; see monitor --help"),
        ("scan \x1b[2J --x\ny", "scan: no such option: --x"),
    ],
)
def test_bad_usage_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    line: str,
) -> None:
    """Exit 2, what is wrong, and of which command; nothing on stdout, where JSON is expected."""
    assert exit_code(monkeypatch, *arguments.split(" ")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"monitor: {line}")
    assert captured.err.count("\n") == 1
    assert captured.err.rstrip("\n").isprintable()
    assert "; see monitor" in captured.err


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("foo:bar", "unknown device 'foo:bar': known are serial:"),
        ("serial:/dev/ttyUSB0?fs=9", "fs has to be 50 to 10000"),
        ("synthetic:?bpm=900", "bpm=900: 20 to 250 is possible"),
        ("brainflow:cytton", "'cytton' is no board of BrainFlow"),
        ("ble:polar", "known are ble:polar-h10 and ble:movesense"),
        ("lsl:?unit=mmHg", "unit= is one of uV, mV, V"),
    ],
)
def test_a_malformed_address_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    device: str,
    message: str,
) -> None:
    """By the program itself, in one line: no hub, no log, no folder of a recording."""

    def start(*_: object, **__: object) -> None:
        raise AssertionError("a run has begun")

    monkeypatch.setattr("monitor.commands.live.run", start)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    options = ["--record", str(tmp_path / "recording")]
    assert exit_code(monkeypatch, "live", "--device", device, *options) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["subscribe", "--stream", "NAME"],
        ["ack", "--stream", "NAME"],
        ["limits", "NAME"],
        ["alerts", "--kafka", "127.0.0.1:1", "--stream", "NAME"],
        ["bridge", "kafka", "--kafka", "127.0.0.1:1", "--stream", "NAME"],
        ["wall", "--name", "NAME"],
        ["live", "--device", "synthetic:?name=NAME"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["a b", "Zoë", "", "a\x1b[2J"])
def test_a_name_that_nothing_can_have_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], name: str
) -> None:
    """In one line; an empty one, as of a variable that is not set, does not mean all streams."""
    assert exit_code(monkeypatch, *(word.replace("NAME", name) for word in words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.rstrip("\n").isprintable()
    assert "name" in captured.err or "pattern" in captured.err


def test_a_name_with_spaces_is_answered_by_that_of_its_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files may have names that streams have not."""
    assert exit_code(monkeypatch, "subscribe", "--stream", "Zoë Müller") == 2
    assert capsys.readouterr().err == (
        "monitor: 'Zoë Müller' is no name of a stream: 1 to 64 of A-Z a-z 0-9 . _ -; "
        "a file of this name is the stream Zo__M_ller\n"
    )


def test_source_needs_records_or_a_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both or neither are refused before anything is opened."""
    ingest = ["--ingest", "tcp://127.0.0.1:1"]
    assert exit_code(monkeypatch, "source", *ingest) == 2
    assert exit_code(monkeypatch, "source", "demo", "--device", "synthetic:", *ingest) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_subscriber_refuses_a_malformed_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A malformed address, or one of another machine, is one line and exit 2."""
    for address in ("nowhere", "tcp://10.0.0.1:5570", "tcp://127.0.0.1:65535", "tcp://127.0.0.1:0"):
        assert exit_code(monkeypatch, "subscribe", "--endpoint", address) == 2
    assert capsys.readouterr().err.count("\n") == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    """No traceback, and exit 2: it is not a bug."""
    command, environment = child_command(["scan", "demo", "--json"])
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert run.returncode == 2
    assert run.stderr.splitlines() == [
        "monitor: no space left to write to: free some, or write elsewhere"
    ]


def test_a_closed_output_is_no_error() -> None:
    """The command does its work without output."""
    command, environment = child_command(["scan", "demo", "--json"])
    run = subprocess.run(
        ["bash", "-c", f"{shlex.join(command)} >&-"],
        env=environment, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip

    assert (run.returncode, run.stderr) == (0, "")
