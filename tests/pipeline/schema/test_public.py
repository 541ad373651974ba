"""What is published as JSON can be written and read, whatever the names on a machine are."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.schema.public import UNSET, SignalStrip, decode_public, encode_json, is_signal
from pipeline.schema.requests import Acknowledge
from tests.support.hub_by_hand import hub_by_hand

TWO_LEADS = SignalStrip(
    stream="100",
    first_sample=0,
    fs_hz=360.0,
    mv=[0.5],
    leads=["II", "V1"],
    more_mv=[[None]],
    lead="II",
)


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


def test_strip_of_one_lead_has_the_bytes_that_it_always_had() -> None:
    """Whoever reads one lead sees nothing of others."""
    strip = SignalStrip(stream="100", first_sample=7, fs_hz=360.0, mv=[0.5, None])

    assert encode_json(strip) == (
        b'{"schema":1,"stream":"100","epoch":0,"first_sample":7,"fs_hz":360.0,"mv":[0.5,null]}'
    )
    assert (strip.signals, strip.in_use) == ([[0.5, None]], 0)


def test_strip_of_several_leads_names_them_and_the_one_in_use() -> None:
    """The first one stays where it always was."""
    strip = msgspec.structs.replace(TWO_LEADS, lead="V1")
    found = decode_public(b"signal/100", encode_json(strip))

    assert found == strip
    assert isinstance(found, SignalStrip)
    assert (found.mv, found.signals, found.in_use) == (strip.mv, [[0.5], [None]], 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"leads": ["II"]},
        {"leads": ["II", "V1", "V5"]},
        {"more_mv": [[0.5, 0.5]]},
        {"more_mv": UNSET},
        {"leads": [str(lead) for lead in range(13)], "more_mv": [[0.5]] * 12},
    ],
    ids=["too few names", "too many names", "another length", "no signal", "thirteen leads"],
)
def test_leads_that_do_not_belong_together_are_no_signal(fields: dict[str, Any]) -> None:
    """Each has a name and as many values as the first; there are at most twelve."""
    assert is_signal(TWO_LEADS)
    assert not is_signal(msgspec.structs.replace(TWO_LEADS, **fields))
