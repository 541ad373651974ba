"""Which leads of a record are taken, by default, by name and all, and what is said about it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.errors import LeadError
from replay.headers import RecordHeader, load_header
from replay.lead_sets.choice import DEFAULT_LEADS, LeadChoices, lead_choices
from replay.leads import lead_choice


def header(folder: Path, *names: str) -> RecordHeader:
    """Return the header of a record whose signals have these names; ``unit:name`` has that unit."""
    lines = [f"r {len(names)} 360 10"]
    for name in names:
        unit, colon, rest = name.partition(":")
        lines.append(f"r.dat 16 200/{unit if colon else 'mV'} 16 0 0 0 0 {rest if colon else name}")
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    (folder / "r.dat").write_bytes(bytes(20 * len(names)))
    return load_header(folder / "r.hea")


def names_of(record: RecordHeader, indices: Sequence[int]) -> list[str]:
    """Return the names of signals."""
    return [record.signals[i].name for i in indices]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["V5", "MLII"], ["MLII", "V5"]),
        (["I", "II", "III", "aVR", "V1"], ["II", "I", "III"]),
        (["V1", "V2", "V3", "V4"], ["V1", "V2", "V3"]),
        (["NU:PLETH", "II", "RESP", "V"], ["II", "V"]),
        (["II", "something"], ["II"]),
        (["this", "that"], ["this"]),
        (["II"], ["II"]),
    ],
)
def test_three_leads_at_most_the_usual_ones_first(
    tmp_path: Path, names: list[str], expected: list[str]
) -> None:
    """Of those named like an ECG; where none is, the one lead that would be taken alone."""
    record = header(tmp_path, *names)
    assert names_of(record, lead_choices(record, most=3).indices) == expected


def test_a_lead_that_adds_no_view_gives_way(tmp_path: Path) -> None:
    """It is left out by default and said; by name, or with all, it is taken and said."""
    record = header(tmp_path, "I", "II", "III", "V1")

    def derived(order: Sequence[int]) -> dict[int, str]:
        return {list(order).index(2): "III is II − I"} if 2 in order else {}

    default = lead_choices(record, most=3, derived=derived)
    named = lead_choices(record, "I,III", derived=derived)
    every = lead_choices(record, "all", derived=derived)

    assert names_of(record, default.indices) == ["II", "I", "V1"]
    assert names_of(record, named.indices) == ["I", "III"]
    assert names_of(record, every.indices) == ["II", "I", "III", "V1"]
    for why in (default.why, named.why, every.why):
        assert "III is II − I: it adds no view" in why


def test_the_choice_is_one_sentence_with_its_reason(tmp_path: Path) -> None:
    """What was taken and why, what else may be one, and what is none."""
    record = header(tmp_path, "V1", "V2", "II", "V3", "NU:PLETH")
    assert lead_choices(record, most=3).why == (
        "leads 'II', 'V1', 'V2' are taken, the usual one for rhythm first; 'V3' may be ECG, too; "
        "no ECG: 'PLETH' (no voltage); --lead takes others"
    )


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["MLII", "MLII"], "leads 'MLII', 'MLII-2' are taken, the usual one for rhythm first"),
        (["V5", "V2"], "leads 'V5', 'V2' are taken, the first that are named like an ECG"),
    ],
)
def test_the_reason_is_that_of_the_first_lead(tmp_path: Path, names: list[str], why: str) -> None:
    """Also of two leads of one name, which get numbers."""
    assert lead_choices(header(tmp_path, *names)).why == f"{why}; --lead takes others"


def test_by_default_a_patient_is_watched_by_three_leads(tmp_path: Path) -> None:
    """All that are named like an ECG, at most three; a record of one lead says nothing of it."""
    record = header(tmp_path, "V1", "II", "V2", "V5", "RESP")
    assert DEFAULT_LEADS == 3
    assert lead_choices(record) == lead_choices(record, most=3)
    assert names_of(record, lead_choices(record).indices) == ["II", "V1", "V2"]
    assert lead_choices(header(tmp_path, "V1")) == LeadChoices((0,), "")


def test_one_of_several_leads_is_the_one_that_is_taken_alone(tmp_path: Path) -> None:
    """For the reason that is given for one."""
    record = header(tmp_path, "V1", "II")
    one, alone = lead_choice(record), lead_choices(record, most=1)
    assert (alone.indices, alone.why) == ((one.index,), one.why)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("V1", ["V1"]),
        ("V1,II", ["V1", "II"]),
        ("v1, ii", ["V1", "II"]),
        ("1,0", ["V1", "II"]),
        ("all", ["II", "V1"]),
        ("V1,RESP", ["V1", "RESP"]),
    ],
)
def test_leads_are_named_in_any_order(tmp_path: Path, asked: str, expected: list[str]) -> None:
    """By name or index; all are those that are ECG."""
    record = header(tmp_path, "II", "V1", "RESP")
    choices = lead_choices(record, asked)
    assert names_of(record, choices.indices) == expected
    assert ("named like no ECG (respiration), and is watched as one" in choices.why) == (
        "RESP" in expected
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("II,II", "'II' is named twice"),
        ("II,0", "'II' is named twice"),
        ("II,V9", "no lead 'V9'"),
        ("II,", "no lead ''"),
        (",", "no lead ''"),
        ("II,PLETH", "no voltage"),
    ],
)
def test_leads_that_cannot_be_taken_are_one_line(tmp_path: Path, asked: str, said: str) -> None:
    """Named twice, not there, or without a height."""
    with pytest.raises(LeadError, match=said) as caught:
        lead_choices(header(tmp_path, "II", "V1", "NU:PLETH"), asked)
    assert str(caught.value).isprintable()


def test_thirteen_leads_are_refused_with_their_names(tmp_path: Path) -> None:
    """Whether they are named or all; a dozen are taken."""
    names = [f"V{i}" for i in range(13)]
    record = header(tmp_path, *names)
    for asked in ("all", ",".join(names)):
        with pytest.raises(LeadError, match=r"13 leads, and 12 at most .*'V12'"):
            lead_choices(record, asked)
    assert len(lead_choices(record, ",".join(names[:12])).indices) == 12


def test_a_signal_may_have_a_comma_or_all_for_a_name(tmp_path: Path) -> None:
    """What is the name of one signal is that signal."""
    record = header(tmp_path, "II,V1", "II", "V1", "all")
    assert lead_choices(record, "II,V1").indices == (0,)
    assert lead_choices(record, "all").indices == (3,)


def test_a_lead_of_a_rate_that_cannot_be_used_does_not_stop_the_others(tmp_path: Path) -> None:
    """A trend beside the leads is not taken with them; by name it is refused for its rate."""
    lines = ["r 3 10 10"]
    lines += [f"r.dat 16{per_frame} 200/mV 16 0 0 0 0 {name}" for per_frame, name in (
        ("x36", "II"), ("", "ECG trend"), ("x36", "V1"),
    )]  # fmt: skip
    (tmp_path / "r.hea").write_text("\n".join(lines) + "\n")
    (tmp_path / "r.dat").write_bytes(bytes(20 * 73))
    record = load_header(tmp_path / "r.hea")
    assert lead_choices(record, most=3).indices == (0, 2)
    assert lead_choices(record, "all").indices == (0, 2)
