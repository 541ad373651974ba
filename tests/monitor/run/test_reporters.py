"""How a run shows itself without a dashboard: what it says of alerts that will never come."""

import io
import json
from pathlib import Path

import pytest

from monitor.run.reporters import JsonReporter, PlainReporter
from monitor.run.session import Tally
from pipeline.schema.public import Gap, LogReplaced

BREAKS = [
    Gap(log_id="L", seq=12, from_seq=10, to_seq=12, reason="alerts 10 to 12 are\x1b[2J damaged"),
    LogReplaced(log_id="M", old_log_id="L", old_seq=12, reason="another log"),
]


@pytest.mark.parametrize("record", BREAKS, ids=lambda record: record.kind)
def test_a_break_in_the_alerts_is_shown_like_an_alert(record: Gap | LogReplaced) -> None:
    """As JSON with its kind, as a line in capitals that steers no terminal."""
    out, lines = io.BytesIO(), io.StringIO()
    JsonReporter(out).hear(record)
    PlainReporter(lines).hear(record)

    told = json.loads(out.getvalue())
    assert (told["kind"], told["seq"], told["reason"]) == (record.kind, record.seq, record.reason)
    (line,) = lines.getvalue().splitlines()
    assert line.startswith(record.kind.upper().replace("_", " "))
    assert "\x1b" not in line


def test_the_summary_counts_alerts_that_never_came(tmp_path: Path) -> None:
    """And has a line for them, where there are any."""
    tally, lines = Tally(tmp_path / "log"), io.StringIO()
    PlainReporter(lines).close(tally.summary({}))
    assert tally.summary({})["alerts_missing"] == 0
    assert "missing" not in lines.getvalue()

    for record in BREAKS:
        tally.hear(record)
    PlainReporter(lines).close(tally.summary({}))
    assert tally.summary({})["alerts_missing"] == 3
    assert "missing  3 alerts" in lines.getvalue()
