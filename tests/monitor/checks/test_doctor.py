"""The findings of `monitor doctor`, on healthy machines and on others."""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.inference.student import SHIPPED_STUDENT
from monitor.checks import installation as installation_checks
from monitor.checks import machine as machine_checks
from monitor.checks.findings import Finding, Verdict, fault, note, ok
from monitor.commands.doctor import all_checks, examine, row
from tests.monitor.run.test_system import DEADLINE_S, command, environment, finish
from tests.support.limits import promised
from tests.support.paths import ROOT
from tests.support.ports import free_ports

pytestmark = pytest.mark.system

NAMES = [
    "python", "packages", "imports", "CUDA", "kernels", "weights", "ports", "clock", "disk",
    "limits", "terminal",
]  # fmt: skip


def verdicts(findings: Iterator[Finding]) -> list[str]:
    """Return the verdict of each finding."""
    return [finding.verdict.value for finding in findings]


@promised(10.0)
def test_this_installation_has_no_fault(tmp_path: Path, limit_s: float) -> None:
    """Every check yields a finding, none a fault, within ten seconds; every note has advice."""
    began = time.monotonic()
    run = finish(tmp_path, "doctor", "--json", "--port", str(free_ports()))
    lines = [json.loads(line) for line in run.stdout.splitlines()]

    assert run.returncode == 0, run.stdout
    assert run.stderr == b""
    assert time.monotonic() - began < limit_s
    assert list(dict.fromkeys(line["check"] for line in lines)) == NAMES
    assert {line["verdict"] for line in lines} <= {"ok", "note"}
    assert list(tmp_path.iterdir()) == []  # where a run would put its log


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment")
def test_a_checkout_that_is_not_installed_still_names_a_version(tmp_path: Path) -> None:
    """A Python with the libraries and our folders, but without our package."""
    ours = [ROOT / name for name in ("monitor", "pipeline", "models", "replay")]
    for one in [*Path(np.__file__).parents[1].iterdir(), *ours]:
        if "ecg_monitor" not in one.name:
            (tmp_path / one.name).symlink_to(one)
    run = subprocess.run(
        [
            Path(sys.base_prefix) / "bin" / Path(sys.executable).resolve().name,
            "-c",
            "import monitor; print(monitor.__version__)",
        ],
        env={**environment(tmp_path), "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (run.stdout, run.stderr) == ("not installed\n", "")


def test_text_has_a_line_for_each_finding(tmp_path: Path) -> None:
    """Verdict, name and finding; at the end the numbers of faults and notes."""
    run = finish(tmp_path, "doctor", "--port", str(free_ports()))
    lines = run.stdout.decode().splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("ok", "note"))][:2] == NAMES[:2]
    assert lines[-1].startswith("faults: 0, notes: ")


def test_a_missing_library_is_a_fault_and_everything_else_is_still_examined(
    tmp_path: Path,
) -> None:
    """Without numba: exit 2, the kernels are named, and all other checks are made."""
    code = "import sys; sys.modules['numba'] = None; from monitor.cli.app import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json", "--port", str(free_ports())],
        capture_output=True, env=environment(tmp_path), timeout=DEADLINE_S,
    )  # fmt: skip
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    faults = [line["check"] for line in lines if line["verdict"] == "fault"]

    assert run.returncode == 2
    assert "kernels" in faults
    assert list(dict.fromkeys(line["check"] for line in lines)) == NAMES
    assert all(line["advice"] for line in lines if line["check"] == "kernels")


def test_a_check_that_fails_is_a_fault_of_its_own() -> None:
    """Its earlier findings count, and the next check is made."""

    def failing() -> Iterator[Finding]:
        yield ok("first")
        raise OSError("gone")

    found = list(examine({"a": failing, "b": lambda: iter([note("n")])}))

    assert [(name, f.verdict) for name, f in found] == [
        ("a", Verdict.OK), ("a", Verdict.FAULT), ("b", Verdict.NOTE),
    ]  # fmt: skip
    assert "OSError: gone" in found[1][1].found


def test_findings_cannot_control_the_terminal() -> None:
    """Escape codes in a name or a message are not printed."""
    out = StringIO()
    console = Console(file=out, width=60, color_system=None, _environ={})
    console.print(row("x", fault("\x1b]52;c;evil\x07 [red]text[/red]", "\x9b2J")))
    text = out.getvalue()
    assert text.replace("\n", "").isprintable()
    assert "[red]text[/red]" in text


@pytest.mark.parametrize(
    ("there", "verdict"),
    [({"numpy": "2.0"}, "note"), ({"numpy": "1.26"}, "fault"), ({"numpy": ""}, "fault")],
)
def test_packages_too_old_or_missing_are_faults_untested_ones_notes(
    monkeypatch: pytest.MonkeyPatch, there: dict[str, str], verdict: str
) -> None:
    """Versions are compared with those required, then with those tested."""
    true = installation_checks.installed_versions
    monkeypatch.setattr(
        installation_checks,
        "installed_versions",
        lambda names: {n: there.get(n, v) for n, v in true(names).items()},
    )
    [finding] = installation_checks.check_packages()
    assert finding.verdict.value == verdict
    assert "numpy" in finding.found


def test_packages_from_several_folders_are_a_fault(tmp_path: Path) -> None:
    """A file of the name of one of them in the current folder, which came first: each is named."""
    (tmp_path / "models.py").touch()
    run = subprocess.run(
        [sys.executable, "-m", "monitor", "doctor", "--json", "--port", str(free_ports())],
        capture_output=True, timeout=DEADLINE_S, cwd=tmp_path,
        env=environment(tmp_path) | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    [imports] = [line for line in lines if line["check"] == "imports"]

    assert (run.returncode, imports["verdict"]) == (2, "fault")
    assert f"models from {tmp_path}" in imports["found"]
    assert f"monitor from {ROOT}" in imports["found"]
    assert imports["advice"]


@pytest.mark.parametrize(
    ("path", "verdict"), [("", "ok"), ("/x", "ok"), (":/x", "note"), ("/x:.", "note")]
)
def test_the_current_folder_in_the_import_path_is_a_note(
    monkeypatch: pytest.MonkeyPatch, path: str, verdict: str
) -> None:
    """By its name or by an empty entry, which ``PYTHONPATH=$PYTHONPATH:/x`` has often."""
    monkeypatch.setenv("PYTHONPATH", path.replace(":", os.pathsep))
    assert verdicts(installation_checks.check_imports()) == [verdict]


@pytest.mark.parametrize(
    ("older", "newer"), [("2.9", "2.10"), ("2", "2.0.1"), ("2.0rc1", "2.1"), ("27.3.0", "28")]
)
def test_versions_are_compared_as_numbers(older: str, newer: str) -> None:
    """2.10 is later than 2.9, and 2.0 no earlier than 2."""
    assert installation_checks.numbers(older) < installation_checks.numbers(newer)
    assert installation_checks.numbers("2.0.0") == installation_checks.numbers("2")


def test_altered_weights_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single bit changes the hash, and the text names the file."""
    for suffix in (".json", ".safetensors"):
        content = bytearray(SHIPPED_STUDENT.with_suffix(suffix).read_bytes())
        content[-1] ^= suffix == ".safetensors"
        (tmp_path / f"student{suffix}").write_bytes(content)
    from models.inference.student import StudentScorer

    load = StudentScorer.load
    monkeypatch.setattr(
        StudentScorer,
        "load",
        lambda description, **options: load(tmp_path / "student.json", **options),
    )
    [(_, finding)] = examine({"weights": installation_checks.check_weights})
    assert finding.verdict is Verdict.FAULT
    assert "student.safetensors" in finding.found


def test_kernels_that_others_could_replace_are_a_fault_and_new_ones_a_note(tmp_path: Path) -> None:
    """The files in the cache are code; without any, the first start compiles."""
    code = (
        "from monitor.checks.installation import check_kernels\n"
        "from monitor.commands.doctor import examine\n"
        "print(*(found.verdict.value for _, found in examine({'kernels': check_kernels})))"
    )
    verdict = {}
    for mode in (0o777, 0o700):
        cache = tmp_path / f"{mode:o}"
        cache.mkdir()
        cache.chmod(mode)
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S,
            env={**environment(tmp_path), "NUMBA_CACHE_DIR": str(cache)},
        )  # fmt: skip
        verdict[mode] = run.stdout.strip()
    assert verdict == {0o777: "fault", 0o700: "note"}


def test_port_of_another_program_is_named(tmp_path: Path) -> None:
    """The finding has the port, its purpose, and the process that uses it."""
    port = free_ports()
    with socket.create_server(("127.0.0.1", port + 1)):
        [finding] = machine_checks.check_ports(port)
    assert finding.verdict is Verdict.NOTE
    assert f"{port + 1} (replay)" in finding.found
    assert f"process {os.getpid()}" in finding.found
    assert verdicts(machine_checks.check_ports(port)) == ["ok"]


def test_port_of_a_running_monitor_is_ok(tmp_path: Path) -> None:
    """The monitor is recognised by the reply of its control socket."""
    port = free_ports()
    process = subprocess.Popen(
        command("hub", "--port", str(port), "--log", str(tmp_path / "log")),
        stdout=subprocess.PIPE, env=environment(tmp_path),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        while b"ready" not in process.stdout.readline():
            pass  # it says that it compiles the kernels
        [finding] = machine_checks.check_ports(port)
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
    assert finding.verdict is Verdict.OK
    assert "a monitor 0." in finding.found


@pytest.mark.parametrize(("state", "verdict"), [(True, "ok"), (False, "note"), (None, "note")])
def test_clock_that_is_not_synchronised_is_a_note(
    monkeypatch: pytest.MonkeyPatch, state: bool | None, verdict: str
) -> None:
    """The state that the kernel reports decides, where it reports one."""
    monkeypatch.setattr(machine_checks, "is_synchronised", lambda: state)
    assert verdicts(machine_checks.check_clock()) == [verdict]


def test_clock_that_jumps_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is compared with the steady one over 0.2 s."""
    monkeypatch.setattr(machine_checks, "is_synchronised", lambda: True)
    calls = iter((0.0, 0.05))
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(time, "time", lambda: 1.8e9 + next(calls))
    first, _ = machine_checks.check_clock()
    assert first.verdict is Verdict.NOTE
    assert "jumped by 50 ms" in first.found


def test_the_state_of_the_clock_is_read_without_changing_it() -> None:
    """The result is true, false or None; reading needs no rights."""
    assert machine_checks.is_synchronised() in (True, False, None)


@pytest.mark.parametrize(
    ("free", "verdict"), [(50 << 20, "fault"), (500 << 20, "note"), (5 << 30, "ok")]
)
def test_little_space_for_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    """Under 100 MiB is a fault, under 1 GiB a note; missing folders are not created."""
    usage = machine_checks.shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(machine_checks.shutil, "disk_usage", lambda path: usage)
    assert verdicts(machine_checks.check_disk(tmp_path / "not" / "yet"))[0] == verdict
    assert list(tmp_path.iterdir()) == []


def test_slow_disk_is_a_note_and_one_that_cannot_be_written_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every alert waits for a commit."""
    monkeypatch.setattr(machine_checks, "fsync_s", lambda folder: 0.25)
    _, slow = machine_checks.check_disk(tmp_path)
    monkeypatch.undo()
    _, closed = machine_checks.check_disk(Path("/proc/self"))
    assert (slow.verdict, closed.verdict) == (Verdict.NOTE, Verdict.FAULT)
    assert "250.0 ms" in slow.found


@pytest.mark.parametrize(("files", "verdict"), [(256, "note"), (1024, "ok"), (65536, "ok")])
def test_few_open_files_are_a_note(
    monkeypatch: pytest.MonkeyPatch, files: int, verdict: str
) -> None:
    """Below 1,024 a few hundred connections fill them."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (files, files))
    assert verdicts(machine_checks.check_limits()) == [verdict]


def test_checks_are_those_that_are_documented() -> None:
    """docs/operations.md has a row for each check."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert list(all_checks(5570)) == NAMES
    assert [name for name in NAMES if f"| {name} |" not in text] == []
