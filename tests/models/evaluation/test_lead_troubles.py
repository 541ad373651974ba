"""A lead in trouble: what is changed, what the other lead alone would find, and the table."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.ec57.annotators import Score
from models.evaluation.report.lead_troubles import trouble_sections
from models.evaluation.stress.lead_troubles import (
    BOTH,
    IN_ONE,
    LEADS,
    NONE,
    SWAPPED,
    TroubleLine,
    choose_records,
    read_noise,
    troubled,
    with_other,
)
from models.measure.provenance import provenance
from monitor.measure.evaluate import evaluate_leads
from monitor.measure.output import WIDTH, print_sections
from pipeline.errors import InputError
from tests.support.databases import database

PARTS = [(2, 4), (6, 8)]


def test_only_the_parts_of_one_lead_are_in_trouble() -> None:
    """The other lead and the time between stay as they are; swapped are both."""
    mv = np.arange(1.0, 21.0, dtype=np.float32).reshape(2, 10)
    noisy = mv[1] + 100.0
    inside = np.zeros(10, dtype=bool)
    inside[[2, 3, 6, 7]] = True
    for trouble in ("off", "flat", "reversed"):
        out = troubled(mv, trouble, 1, noisy, PARTS)
        assert np.array_equal(out[0], mv[0])
        assert np.array_equal(out[1, ~inside], mv[1, ~inside])
        assert not np.isin(out[1, inside], mv[1]).any()
    assert np.isnan(troubled(mv, "off", 0, noisy, PARTS)[0, inside]).all()
    assert np.array_equal(troubled(mv, "noisy", 1, noisy, PARTS)[1], noisy)
    swapped = troubled(mv, SWAPPED, 0, noisy, PARTS)
    assert np.array_equal(swapped[:, inside], mv[::-1, inside])
    assert np.array_equal(swapped[:, ~inside], mv[:, ~inside])


def test_in_the_parts_the_beats_are_those_of_the_other_lead() -> None:
    """Elsewhere those of both; a part ends before its end."""
    both = np.array([1, 2, 5, 7, 9])
    other = np.array([0, 3, 4, 6, 8])
    assert with_other(both, other, PARTS).tolist() == [1, 3, 5, 6, 9]
    assert with_other(both, other, []).tolist() == both.tolist()


def test_the_table_has_the_difference_and_fits(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for every trouble and lead, beside both leads and beside the other one."""

    def line(trouble: str, lead: str, watched: str, missed: int) -> TroubleLine:
        return TroubleLine(
            database="mitdb",
            trouble=trouble,
            lead=lead,
            watched=watched,
            records=48,
            qrs=Score(10_000 - missed, missed, 10_000 - missed, 0),
            other_lead=Score(9900, 100, 9900, 0) if trouble == "off" else None,
        )

    lines = [line(NONE, BOTH, watched, 10) for watched in (BOTH, *LEADS)]
    lines += [line(trouble, lead, BOTH, 60) for trouble in IN_ONE for lead in LEADS]
    lines.append(line(SWAPPED, BOTH, BOTH, 10))
    lines += [replace(one, database="svdb") for one in lines]
    print_sections(trouble_sections(lines, provenance()))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in text.splitlines()]
    off = next(row for row in rows if row[:1] == ["first lead has no values"])
    assert off[1:] == ["60", "0", "99.40", "100.00", "-0.50", "+0.00", "99.00", "100.00"]
    assert sum(len(row) > 1 for row in rows) == 2 * (3 + 2 * len(IN_ONE) + 1)
    assert all(f"{name}, 48 records" in text for name in ("mitdb", "svdb"))


def test_a_record_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before minutes of work."""
    for name in ("mitdb/100", "svdb/800"):
        header = tmp_path / f"{name}.hea"
        header.parent.mkdir()
        header.touch()
    assert choose_records(tmp_path) == {"mitdb": ["100"], "svdb": ["800"]}
    assert choose_records(tmp_path, ["800"]) == {"svdb": ["800"]}
    with pytest.raises(InputError, match="lacks records of mitdb and svdb: 999"):
        choose_records(tmp_path, ["100", "999"])


@pytest.mark.data
def test_noise_is_mixed_at_the_rate_of_svdb() -> None:
    """Record 800 of 128 Hz: 0 dB of each lead's own QRS, and what is slow in it is the same."""
    data = database("svdb").parent
    database("nstdb")
    noise = read_noise(data)
    at_128 = noise.at(128.0)
    assert abs(at_128.size - noise.mv.size * 128 / noise.fs_hz) < 1
    assert noise.at(noise.fs_hz) is noise.mv
    seconds = np.arange(10, 300)
    slow = [
        np.array([mv[round(s * rate) : round((s + 1) * rate)].mean() for s in seconds])
        for mv, rate in ((noise.mv, noise.fs_hz), (at_128, 128.0))
    ]
    assert np.abs(slow[0] - slow[1]).max() < 0.02 * np.ptp(slow[0])


@pytest.mark.system
def test_a_healthy_record_is_found_without_a_lead(capsys: pytest.CaptureFixture[str]) -> None:
    """Record 103: no trouble of the second lead costs more than a few beats; a line for each."""
    data = database("nstdb").parent
    database("mitdb")
    evaluate_leads(data, records="103", report=None, as_json=True)
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3 + 2 * len(IN_ONE) + 1
    second = [line for line in lines if line["lead"] == "second"]
    assert [line["trouble"] for line in second] == list(IN_ONE)
    assert all(line["fn"] + line["fp"] <= 5 for line in second)
    assert all((line["other_lead"] is None) == (line["trouble"] == "reversed") for line in second)
