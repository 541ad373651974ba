"""A scan of a record: every beat that can be analysed has its class, printed and annotated."""

import json
from pathlib import Path

import pytest

from monitor.commands.scan import ANNOTATOR, scan_records
from replay.annotations import read_beats
from replay.demo import write_demo

pytestmark = pytest.mark.system


def test_beats_and_annotations_have_the_class_of_each_beat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """N, S, V or F, and Q where a beat cannot be analysed."""
    record = write_demo(tmp_path)

    scan_records(
        [str(record)], lead=None, false_alerts_per_hour=None, alarms=None, pseudonyms=None,
        as_json=False, beats=True, annotations=tmp_path,
    )  # fmt: skip

    *beats, _ = map(json.loads, capsys.readouterr().out.splitlines())
    named = [beat["beat_class"] for beat in beats]
    assert [name is not None for name in named] == [beat["analysable"] for beat in beats]
    assert {None, "N", "V"} <= set(named)
    samples, symbols = read_beats(record, ANNOTATOR)
    assert samples.tolist() == [beat["sample"] for beat in beats]
    assert symbols == [name or "Q" for name in named]
