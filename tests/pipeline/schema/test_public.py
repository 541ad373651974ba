"""What is published as JSON can be written and read, whatever the names on a machine are."""

import json
from pathlib import Path

from pipeline.schema.public import encode_json
from pipeline.schema.requests import Acknowledge
from tests.support.hub_by_hand import hub_by_hand


def test_text_that_is_no_utf_8_is_written_with_replacements() -> None:
    """Python reads a byte that is none into a lone surrogate, which JSON does not have."""
    said = json.loads(encode_json(Acknowledge(stream="M\udcfcller", episode="1")))

    assert said["stream"] == "M\N{REPLACEMENT CHARACTER}ller"
    assert said["episode"] == "1"


def test_a_hub_with_a_log_whose_name_is_no_utf_8_reports(tmp_path: Path) -> None:
    """Its report names the file."""
    with hub_by_hand(tmp_path / "\udcfclog.sqlite") as one:
        one.later_s += 2.0
        one.turns(3)
        report, _ = one.hub._state()

        assert b"log.sqlite" in encode_json(report)
