"""How the processes of a cluster leave it: in time, whatever the brokers do."""

import faulthandler
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.kafka.cluster import run_and_leave
from pipeline.errors import EndpointError
from tests.support.kafka import (
    PARTITIONS,
    REAL,
    Brokers,
    Command,
    GatewayProcess,
    WorkerProcess,
)
from tests.support.paths import ROOT
from tests.support.ports import free_ports
from tests.support.running import DEADLINE_S

pytest.importorskip("confluent_kafka", reason="needs the extra kafka")


@pytest.fixture
def mock_brokers() -> Iterator[Brokers]:
    """Return brokers of the mock cluster."""
    if REAL:
        pytest.skip("only the mock cluster can be stopped")
    with Brokers() as made:
        yield made


@pytest.mark.system
def test_whatever_serves_a_cluster_ends_when_asked_to_though_no_broker_answers(
    mock_brokers: Brokers, tmp_path: Path
) -> None:
    """A worker says that it could not leave its group; the others are in none."""
    words = ["bridge", "kafka", "--log", str(tmp_path / "log"), "--port", str(free_ports())]
    with (
        WorkerProcess(mock_brokers, leave_s=1.0) as worker,
        GatewayProcess(mock_brokers) as gateway,
        Command(words, mock_brokers) as bridge,
    ):
        worker.wait_owned(PARTITIONS)
        mock_brokers.fall_silent()
        assert [one.end() for one in (worker, gateway, bridge)] == [0, 0, 0]
        assert any("leave the cluster within 1 s" in line for line in worker.errors)


def test_a_failure_is_raised_though_what_failed_cannot_leave() -> None:
    """Whoever watches the process learns that it no longer serves."""
    never = threading.Event()

    @contextmanager
    def opened() -> Iterator[None]:
        yield
        never.wait()

    def fails(service: None) -> None:
        raise EndpointError("no longer a member")

    with pytest.raises(EndpointError, match="no longer a member"):
        run_and_leave(opened, fails, lambda: False, leave_s=0.1)
    faulthandler.cancel_dump_traceback_later()  # it would end this process
    never.set()


_KEEPS_THE_INTERPRETER = """
import ctypes
from contextlib import contextmanager
from monitor.kafka.cluster import run_and_leave

@contextmanager
def opened():
    yield
    ctypes.PyDLL(None).pause()  # holds the lock of the interpreter, as the client library does

run_and_leave(opened, lambda service: None, lambda: False, leave_s=0.1)
"""


@pytest.mark.system
def test_a_process_ends_though_no_other_thread_can_run() -> None:
    """It shows where it was; no signal that Python handles would have ended it."""
    command = [sys.executable, "-c", _KEEPS_THE_INTERPRETER]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=DEADLINE_S,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Timeout" in done.stderr
