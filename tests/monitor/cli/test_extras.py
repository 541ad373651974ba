"""What a plain installation does without the libraries of the extras, and says where it lacks one.

A folder of modules that cannot be imported lies first in the path, for child processes as well.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.inference import student
from models.inference.student import StudentScorer, cuda_available, cuda_state
from monitor.cli.app import _EXTRAS
from pipeline.errors import ConfigError
from pipeline.stream import warmup
from tests.monitor.cli.test_app import exit_code
from tests.monitor.run.test_system import DEADLINE_S, command, environment
from tests.support import recordings
from tests.support.logs import filled_log
from tests.support.paths import ROOT
from tests.support.ports import free_ports

pytestmark = pytest.mark.system


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, str]:
    """Return the environment of an installation without any extra."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in set(_EXTRAS) - {"matplotlib"}:  # which wfdb brings
        code = f"raise ModuleNotFoundError('it is not there', name={name!r})\n"
        (blocked / f"{name}.py").write_text(code)
    variables = environment(tmp_path)
    path = [str(blocked), variables.get("PYTHONPATH", "")]
    return {**variables, "PYTHONPATH": ":".join(filter(None, path))}


def run(plain: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the monitor to its end."""
    return subprocess.run(
        command(*arguments), env=plain, capture_output=True, text=True, timeout=DEADLINE_S
    )


def test_a_record_is_replayed_and_scanned_with_classes(plain: dict[str, str]) -> None:
    """Every process of a run does without torch; beats have classes, alarms are raised."""
    scanned = run(plain, "scan", "demo", "--beats", "--jobs", "1")
    port = str(free_ports())
    replayed = run(plain, "replay", "demo", "--speed", "max", "--json", "--port", port)

    assert scanned.returncode == replayed.returncode == 0, scanned.stderr + replayed.stderr
    beats = [json.loads(line) for line in scanned.stdout.splitlines()[:-1]]
    assert {"N", "V"} <= {beat["beat_class"] for beat in beats}
    kinds = [json.loads(line).get("kind") for line in replayed.stdout.splitlines()]
    assert "couplet" in kinds


def test_a_newcomer_with_an_edf_file_has_its_report_in_two_commands(
    plain: dict[str, str], tmp_path: Path
) -> None:
    """``pip install .`` and ``monitor report FILE``: a page, named on stdout, of what was found."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\npip install . " in readme
    assert "\nmonitor report night.edf " in readme
    (tmp_path / "night.edf").write_bytes(recordings.edf_bytes(recordings.demo_adc(60)))
    done = subprocess.run(
        command("report", "night.edf"), env=plain, cwd=tmp_path,
        capture_output=True, text=True, timeout=DEADLINE_S,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/night.html\n"), done.stderr
    page = (tmp_path / "night.html").read_text(encoding="utf-8")
    assert "<h1>ECG report" in page
    assert "4 ventricular" in page


def test_doctor_says_what_a_plain_installation_lacks(plain: dict[str, str]) -> None:
    """No fault."""
    found = run(plain, "doctor", "--json", "--port", str(free_ports()))

    assert found.returncode == 0, found.stdout


def test_training_names_the_extra_in_one_line(plain: dict[str, str]) -> None:
    """Exit code 2, nothing on stdout, and what to install."""
    trained = run(plain, "train", "student", "--data", "nowhere", "--out", "runs")

    assert (trained.returncode, trained.stdout) == (2, "")
    assert trained.stderr == (
        "monitor: this command needs torch, which is not installed: pip install "
        "'ecg-monitor[train]'\n"
    )


@pytest.mark.parametrize(
    ("device", "library", "extra"),
    [
        ("lsl:?name=bed", "pylsl", "lsl"),
        ("ble:polar-h10", "bleak", "ble"),
        ("brainflow:synthetic", "brainflow", "brainflow"),
    ],
)
def test_a_device_names_the_extra_in_one_line(
    plain: dict[str, str], device: str, library: str, extra: str
) -> None:
    """Exit code 2, and what to install; a list of devices does without them."""
    sent = run(plain, "source", "--device", device, "--ingest", "tcp://127.0.0.1:1")

    assert (sent.returncode, sent.stdout) == (2, "")
    assert sent.stderr == (
        f"monitor: this command needs {library}, which is not installed: pip install "
        f"'ecg-monitor[{extra}]'\n"
    )


@pytest.mark.parametrize(
    ("words", "library", "extra"),
    [
        (["bridge", "mqtt", "--broker", "mqtt://127.0.0.1"], "paho", "mqtt"),
        (["bridge", "lsl"], "pylsl", "lsl"),
        (["log", "export", "log", "--parquet", "alerts.parquet"], "pyarrow", "parquet"),
    ],
)
def test_other_systems_name_their_extra_in_one_line(
    words: list[str],
    library: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Exit code 2, and nothing half-written."""
    monkeypatch.chdir(tmp_path)
    filled_log(tmp_path / "log")
    for name in _our_modules_with(library):  # another test may have imported them
        monkeypatch.delitem(sys.modules, name)
    for name in [library, *(n for n in sys.modules if n.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    assert exit_code(monkeypatch, *words) == 2
    assert capsys.readouterr().err == (
        f"monitor: this command needs {library}, which is not installed: pip install "
        f"'ecg-monitor[{extra}]'\n"
    )
    assert not [path for path in tmp_path.iterdir() if "parquet" in path.name]


def _our_modules_with(library: str) -> list[str]:
    """Return those of our modules that hold the library, or anything of it."""

    def is_of_it(value: object) -> bool:
        name = getattr(value, "__module__", None) or getattr(value, "__name__", None)
        return isinstance(name, str) and name.split(".")[0] == library

    return [
        name
        for name, module in sys.modules.items()
        if name.split(".")[0] in ("monitor", "pipeline", "replay")
        and any(is_of_it(value) for value in vars(module).values())
    ]


def test_a_worker_names_its_extra_before_it_compiles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits a minute to read that a library is missing."""
    compiled: list[bool] = []
    monkeypatch.setattr(warmup, "compile_kernels", lambda: compiled.append(True))
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    assert exit_code(monkeypatch, "worker", "--kafka", "127.0.0.1:1") == 2
    assert capsys.readouterr().err == (
        "monitor: the Kafka client is not installed: pip install 'ecg-monitor[kafka]'\n"
    )
    assert compiled == []


def test_a_driver_without_torch_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU is taken, doctor's words say why, and a GPU that is asked for is refused."""
    monkeypatch.setattr(student, "_has_cuda_driver", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "models.inference.torch_student", raising=False)

    assert not cuda_available()
    assert "ecg-monitor[gpu]" in cuda_state()
    assert StudentScorer.load().device == "cpu"
    with pytest.raises(ConfigError, match=r"^device 'cuda': torch is not .*ecg-monitor\[gpu\]"):
        StudentScorer.load(device="cuda")


def test_the_version_is_printed(plain: dict[str, str]) -> None:
    """And nothing else."""
    import monitor

    shown = run(plain, "--version")
    assert (shown.returncode, shown.stdout) == (0, f"ecg-monitor {monitor.__version__}\n")


def test_the_endpoint_may_come_from_the_environment(plain: dict[str, str]) -> None:
    """$MONITOR_ENDPOINT stands for --endpoint, which is taken where both are there."""
    port = free_ports()
    plain["MONITOR_ENDPOINT"] = f"tcp://127.0.0.1:{port}"
    asked = run(plain, "status")
    assert asked.returncode == 2
    assert f":{port + 2}," in asked.stderr
    other = free_ports()
    asked = run(plain, "status", "--endpoint", f"tcp://127.0.0.1:{other}")
    assert f":{other + 2}," in asked.stderr
