"""What a run asks of its hub."""

from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.run import session
from pipeline.constants import MAX_STREAMS

DEVICE = "synthetic:?name=bed-{}"


class Asked(Exception):  # noqa: N818  (an outcome, not a bug)
    """What a hub was asked for."""


def asked(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> dict[str, Any]:
    """Return what a command asks of the hub that it would start."""

    def start(**settings: object) -> NoReturn:
        raise Asked(settings)

    monkeypatch.setattr(session, "System", start)
    outcome = CliRunner().invoke(app, [*arguments, "--plain"]).exception
    assert isinstance(outcome, Asked), outcome
    settings: dict[str, Any] = outcome.args[0]
    return settings


@pytest.mark.parametrize("count", [1, MAX_STREAMS + 44])
def test_a_hub_takes_as_many_streams_as_the_run_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int
) -> None:
    """Or the usual number, where those are fewer."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    devices = [word for n in range(count) for word in ("--device", DEVICE.format(n))]
    for arguments in (["replay", *["demo"] * count], ["live", *devices]):
        assert asked(monkeypatch, arguments)["max_streams"] == max(MAX_STREAMS, count)
