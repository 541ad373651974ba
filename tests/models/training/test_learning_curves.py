"""Learning curves: a table always, a picture where matplotlib is there."""

import csv
import sys
from pathlib import Path

import pytest

from models.training.learning_curves import write_curves
from models.training.progress import EpochReport
from pipeline.errors import ConfigError


def _epoch(number: int, remark: str = "") -> EpochReport:
    return EpochReport(
        epoch=number,
        epochs=2,
        losses={"squared": 1 / number},
        figures={"ap": 0.1 * number, "auc": 0.2},
        rates={"adam": 0.001},
        best_epoch=number,
        seconds=1.25,
        remark=remark,
    )


@pytest.mark.parametrize("matplotlib", [True, False])
def test_table_has_a_row_for_each_epoch(
    tmp_path: Path, matplotlib: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, validation, rates, seconds, remarks, with a comma or not; the picture if possible."""
    if not matplotlib:
        monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    remark = 'collapse: "won", as it were'

    drawn = write_curves(tmp_path, [_epoch(1), _epoch(2, remark=remark)])

    with (tmp_path / "curves.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "epoch": "2", "loss squared": "0.5", "validation ap": "0.2", "validation auc": "0.2",
        "rate adam": "0.001", "seconds": "1.2", "remark": remark,
    }  # fmt: skip
    assert [row["epoch"] for row in rows] == ["1", "2"]
    picture = tmp_path / "curves.png"
    assert drawn == picture.exists() == matplotlib
    assert not matplotlib or picture.read_bytes().startswith(b"\x89PNG")


def test_curves_are_replaced_whole(tmp_path: Path) -> None:
    """Written from all epochs each time; no partial file remains, and an error changes none."""
    write_curves(tmp_path, [_epoch(1)])
    write_curves(tmp_path, [_epoch(1), _epoch(2)])
    assert len((tmp_path / "curves.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"curves.csv", "curves.png"}
    with pytest.raises(ConfigError, match=r"cannot write .*curves\.csv"):
        write_curves(tmp_path / "curves.csv", [_epoch(1)])
