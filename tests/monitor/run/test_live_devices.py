"""`monitor live` with devices that end, or do not begin."""

import json
import subprocess
from pathlib import Path

import pytest

from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.monitor.run.test_system import DEADLINE_S, command, environment

pytestmark = pytest.mark.system


def test_lines_on_standard_input_are_monitored_to_their_end(tmp_path: Path) -> None:
    """Through the whole system: beats are found, and the summary counts what was rejected."""
    mv = SyntheticPatient(PatientConfig(fs=250.0)).generate(250 * 20).samples
    lines = [f"ECG:{value:.4f}\tHR:72" for value in mv]
    lines[1000:1000] = ["HR:72"] * 30
    device = "-?fs=250&unit=mV&name=piped"
    ran = subprocess.run(
        command("live", "--device", device, "--json", "--port", "0"),
        input="\n".join(lines).encode(),
        capture_output=True,
        env=environment(tmp_path),
        timeout=DEADLINE_S,
    )
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout.splitlines()[-1])
    assert summary["streams"] == ["piped"]
    assert summary["beats"] >= 20
    assert summary["unreadable_lines"] == 30
