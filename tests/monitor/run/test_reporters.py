"""What a run prints without a dashboard about alerts that can no longer be read."""

import io
import json
from pathlib import Path

import pytest

from monitor.run.reporters import JsonReporter, PlainReporter
from monitor.run.session import Tally
from pipeline.schema.public import Gap, LogReplaced

RECORDS = [
    Gap(log_id="L", seq=12, from_seq=10, to_seq=12, reason="alerts 10 to 12 are\x1b[2J damaged"),
    LogReplaced(log_id="M", old_log_id="L", old_seq=12, reason="another log"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_gaps_and_replaced_logs_are_printed_like_alerts(record: Gap | LogReplaced) -> None:
    """As JSON with their kind, or as a line in capitals without control characters."""
    out, lines = io.BytesIO(), io.StringIO()
    JsonReporter(out).receive(record)
    PlainReporter(lines).receive(record)

    printed = json.loads(out.getvalue())
    assert (printed["kind"], printed["seq"], printed["reason"]) == (
        record.kind,
        record.seq,
        record.reason,
    )
    (line,) = lines.getvalue().splitlines()
    assert line.startswith(record.kind.upper().replace("_", " "))
    assert "\x1b" not in line


def test_the_summary_counts_missing_alerts(tmp_path: Path) -> None:
    """It has a line for them where there are any."""
    tally, lines = Tally(tmp_path / "log"), io.StringIO()
    PlainReporter(lines).close(tally.summary({}))
    assert tally.summary({}).alerts_missing == 0
    assert "missing" not in lines.getvalue()

    for record in RECORDS:
        tally.receive(record)
    PlainReporter(lines).close(tally.summary({}))
    assert tally.summary({}).alerts_missing == 3
    assert "missing  3 alerts" in lines.getvalue()
