"""What the tests of whole runs share."""

from typing import Any

import pytest

from tests.monitor.run.test_system import alerts_and_summary, finish


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Any]]:
    """Return alerts and summary of the demo record, found by one process without sockets."""
    run = finish(tmp_path_factory.mktemp("scan"), "scan", "demo", "--json")
    assert (run.returncode, run.stderr) == (0, b"")
    return alerts_and_summary(run.stdout)
