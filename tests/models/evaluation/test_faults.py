"""Faults of real ECG streams: each injected fault is reported, and the bounds are kept."""

import json
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.report.faults import fault_sections, with_unit
from models.evaluation.report.markdown import markdown
from models.evaluation.stress import faults
from models.evaluation.stress.fault_findings import (
    CleanStream,
    Finding,
    StreamOutput,
    differing,
    differing_messages,
    lost_sensitivity,
    missing_until_s,
    overlap_s,
    run_segmenter,
    sensitivity,
)
from models.evaluation.stress.fault_injection import INJECTIONS, RECORDS, WorstFinding
from models.files.calibration import load_calibration
from models.inference.beat_scorer import load_scorer
from models.measure.provenance import Provenance
from monitor.cli import app as cli
from monitor.measure.output import WIDTH, print_sections
from pipeline.errors import InputError
from pipeline.stream.counters import Counters
from replay.annotations import read_beats
from replay.records import read_lead, write_beats
from tests.support import reference
from tests.support.databases import database

pytestmark = pytest.mark.system

FS_HZ = 360
SOURCES = ("synthetic", "100")


@cache
def clean(source: str) -> CleanStream:
    """Return a clean stream of two minutes: a made-up ECG, or the beginning of a record."""
    if source == "synthetic":
        samples, times = reference.ecg(120, FS_HZ, seed=11)
        beats, fs_hz = np.round(times * FS_HZ).astype(np.int64), float(FS_HZ)
    else:
        path = database("mitdb") / source
        info, samples = read_lead(path, 0)
        fs_hz = info.fs_hz
        samples = samples[: round(120 * fs_hz)]
        beats = read_beats(path, lead=0)[0]
    return CleanStream(
        samples=samples,
        fs_hz=fs_hz,
        beats=beats[beats < samples.size],
        scorer=load_scorer(device="cpu"),
        config=load_calibration(),
    )


@cache
def findings(source: str, fault: str) -> tuple[Finding, ...]:
    """Return the findings of a kind of fault."""
    (inject,) = (one for one in INJECTIONS if one.__name__ == fault)
    return tuple(inject(clean(source)))


@pytest.mark.parametrize("fault", [inject.__name__ for inject in INJECTIONS])
@pytest.mark.parametrize("source", SOURCES)
def test_the_stream_keeps_its_limits(source: str, fault: str) -> None:
    """Each fault in a clean stream costs no more than is allowed."""
    found = findings(source, fault)

    assert any(one.at_most is not None for one in found)
    assert [one for one in found if one.kept is False] == []


def test_a_lead_without_a_unit_of_voltage_is_refused(tmp_path: Path) -> None:
    """The amplitude of its QRS is unknown: it must not be scored."""
    (tmp_path / "a.hea").write_text("a 1 360 3600\na.dat 16 200/raw 16 0 0 0 0 II\n")
    np.zeros(3600, "<i2").tofile(tmp_path / "a.dat")

    with pytest.raises(InputError, match="raw"):
        read_lead(tmp_path / "a", 0)


def test_no_fault_costs_nothing() -> None:
    """A clean stream has no findings; one without beats misses all of them."""
    stream = clean("synthetic")
    whole = run_segmenter(stream)
    nothing = run_segmenter(stream, np.zeros_like(stream.samples))

    assert sensitivity(stream, whole) == 100
    assert lost_sensitivity(stream, whole) == missing_until_s(stream, whole, stream.at) == 0
    assert sensitivity(stream, nothing) == 0
    assert lost_sensitivity(stream, nothing) == 100
    assert 9 < missing_until_s(stream, nothing, stream.at) < 10
    assert differing(whole, run_segmenter(stream)) == 0
    assert differing(whole, nothing) == len(whole.samples) + len(nothing.quality)


def test_one_bit_is_a_difference() -> None:
    """Beats and alerts are compared as they are, the order of equal ones apart."""
    stream = clean("synthetic")
    whole, other = run_segmenter(stream), run_segmenter(stream)
    other.windows[3, 17] = np.nextafter(other.windows[3, 17], np.float32(2))

    assert differing(whole, other) == 2
    assert (
        differing_messages(StreamOutput([], [], Counters()), StreamOutput([], [], Counters())) == 0
    )


def test_windows_overlap_a_stretch_by_what_they_share() -> None:
    """In seconds, over all stretches; a window reaches from 140 before R to 180 after."""
    stream = clean("synthetic")
    segment = run_segmenter(stream)
    r = int(segment.samples[40])

    shared = overlap_s(stream, segment, [(r - 36, r + 36), (r + 72, r + 108)])
    apart = overlap_s(stream, segment, [(r - 176, r - 140), (r + 180, r + 216)])

    assert shared[40] == pytest.approx(0.3)
    assert apart[40] == 0


@settings(max_examples=50)
@given(
    n=st.integers(1, 3000),
    fs_hz=st.sampled_from([50.0, 360.0, 1000.0]),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_chunks_arrive_as_said(n: int, fs_hz: float, share: float, seed: int) -> None:
    """Lost ones are missing, repeated ones come again later, swapped ones are all there."""
    spans = faults.in_chunks(n, fs_hz)
    again = faults.repeated(spans, share, np.random.default_rng(seed))
    swapped = faults.swapped(spans, share, np.random.default_rng(seed))
    lost = faults.lost_packets(n, fs_hz, share, 0.02, np.random.default_rng(seed))
    left = faults.without(n, lost)

    assert sorted(set(again)) == sorted(swapped) == spans
    assert list(dict.fromkeys(again)) == spans
    covered = sorted([*left, *lost])
    assert all(a < b for a, b in covered)
    assert sum(b - a for a, b in covered) == n
    assert all(first[1] <= second[0] for first, second in pairwise(covered))


def test_shares_are_those_asked_for() -> None:
    """Of many packets and chunks about the share is lost, repeated, swapped."""
    rng = np.random.default_rng(0)
    spans = faults.in_chunks(360_000, 360.0)
    lost = faults.lost_packets(360_000, 360.0, 0.01, 0.02, rng)

    assert 0.007 < sum(b - a for a, b in lost) / 360_000 < 0.013
    assert 0.18 < len(faults.repeated(spans, 0.2, rng)) / len(spans) - 1 < 0.22
    swapped = faults.swapped(spans, 0.1, rng)
    behind = sum(b[0] < a[0] for a, b in pairwise(swapped))
    assert 0.08 < behind / len(spans) < 0.12


def test_a_fault_stays_where_it_is_put() -> None:
    """Outside of its stretch a signal is what it was, and what was passed in is never changed."""
    x = clean("synthetic").samples[:3600]
    before = x.copy()
    rng = np.random.default_rng(0)
    a, b = 1000, 2000
    off, off_flags = faults.lead_off(x, a, b, rng)
    railed, rail_flags = faults.saturated(x, a, b)
    made = [
        off,
        railed,
        faults.flat(x, a, b, rng),
        faults.standstill(x, 360.0, a, b, rng),
        faults.missing(x, a, b),
    ]

    for signal in made:
        assert signal.dtype == np.float32
        assert not np.array_equal(signal[a:b], x[a:b])
        np.testing.assert_array_equal(np.delete(signal, np.s_[a:b]), np.delete(x, np.s_[a:b]))
    for flags in (off_flags, rail_flags):
        assert np.flatnonzero(flags).tolist() == list(range(a, b))
    for signal in (faults.step(x, a, 2.0), faults.gain_change(x, a, 4.0)):
        np.testing.assert_array_equal(signal[:a], x[:a])
        assert not np.array_equal(signal[a:], x[a:])
    np.testing.assert_array_equal(faults.inverted(faults.inverted(x)), x)
    np.testing.assert_array_equal(x, before)


def test_faults_have_the_size_they_say() -> None:
    """A flat line within 10 uV, a step and a gain of their height, mains of their amplitude."""
    x = clean("synthetic").samples
    rng = np.random.default_rng(0)

    assert np.ptp(faults.flat(x, 100, 5000, rng)[100:5000]) < 0.02
    still = faults.standstill(x, 360.0, 100, 5000, rng)[100:5000]
    assert 0.1 < np.ptp(still) < 0.14
    np.testing.assert_allclose((faults.step(x, 100, -2.0) - x)[100:], -2.0, atol=1e-5)
    quarter = faults.gain_change(x, 0, 0.25)
    assert np.ptp(quarter) == pytest.approx(0.25 * np.ptp(x), rel=1e-4)
    assert np.median(quarter) == pytest.approx(np.median(x), abs=1e-5)
    hum = faults.sine(x, 360.0, 0.5, 50.0) - x
    assert np.abs(hum).max() == pytest.approx(0.5, abs=0.01)
    assert np.argmax(np.abs(np.fft.rfft(hum))) == pytest.approx(50 * 120, abs=1)


@pytest.mark.parametrize("parts_per_million", [-200.0, 200.0, 20_000.0])
def test_a_faster_clock_takes_more_samples_of_the_same_signal(parts_per_million: float) -> None:
    """A line stays a line, with more or fewer samples on it."""
    line = np.linspace(0.0, 1.0, 36_001, dtype=np.float32)

    off = faults.clock_off(line, parts_per_million)

    assert off.size - 1 == int(36_000 * (1 + parts_per_million * 1e-6))
    np.testing.assert_allclose(np.diff(off) * 36_000 * (1 + parts_per_million * 1e-6), 1, atol=0.01)


def finding(value: float | None, at_most: float | None, unit: str) -> WorstFinding:
    """Return a line of the evaluation."""
    kept = None if at_most is None or value is None else value <= at_most
    return WorstFinding(
        fault="gap", what="late", value=value, at_most=at_most, unit=unit, kept=kept, record="100"
    )


def test_table_and_page_say_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """A row a finding: kept, not kept, and where nothing is asked."""
    lines = [finding(1.744, 2.0, "s"), finding(3.0, 0.0, ""), finding(37.5, None, "%")]
    machine = Provenance(processor="p", cores=2, python="3", commit="abc", date="d")
    sections = fault_sections(lines, machine)
    print_sections(sections)
    shown = capsys.readouterr().out
    page = markdown(sections)

    assert max(map(len, shown.splitlines())) <= WIDTH
    for text in ("1.74 s", "≤ 2 s", " yes ", " no ", "37.50 %"):
        assert text in shown
    assert "| gap: late | 1.74 s | ≤ 2 s | yes |" in page
    assert "| gap: late | 3 | ≤ 0 | **no** |" in page
    assert "| gap: late | 37.50 % |  |  |" in page
    assert with_unit(None, "s") == "never"


def test_records_that_are_not_there_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 2 and nothing on stdout, for either command; a bad document is refused at once."""
    for arguments, said in (
        (("faults", "--data", str(tmp_path)), RECORDS[0]),
        (("noise", "--data", str(tmp_path)), "118"),
        (("faults", "--data", str(tmp_path), "--report", str(tmp_path / "none.md")), "none.md"),
        (("noise", "--data", str(tmp_path), "--report", str(tmp_path / "none.md")), "none.md"),
    ):
        monkeypatch.setattr(sys, "argv", ["monitor", "evaluate", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        assert left.value.code == 2
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert said in captured.err


def test_the_command_prints_and_writes_every_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One object a line, each the worst of the records, and a row of the document for each."""
    for i, name in enumerate(RECORDS):
        samples, times = reference.ecg(45, 128, seed=i)
        (tmp_path / f"{name}.hea").write_text(
            f"{name} 1 128 {samples.size}\n{name}.dat 16 1000 16 0 0 0 0 II\n"
        )
        (1000 * samples).astype("<i2").tofile(tmp_path / f"{name}.dat")
        r = np.round(times * 128).astype(np.int64)
        write_beats(tmp_path, name, "atr", r, ["N"] * r.size, 128)
    document = tmp_path / "page.md"
    document.write_text("<!-- faults: written by a command -->\n<!-- end of faults -->\n")
    options = ("--data", str(tmp_path), "--json", "--report", str(document))
    monkeypatch.setattr(sys, "argv", ["monitor", "evaluate", "faults", *options])
    with pytest.raises(SystemExit) as left:
        cli.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert not left.value.code
    printed = {(line["fault"], line["what"]) for line in lines}
    assert len(printed) == len(lines)
    names = (inject.__name__ for inject in INJECTIONS)
    expected = {(one.fault, one.what) for name in names for one in findings("synthetic", name)}
    assert printed == expected
    assert {line["record"] for line in lines} <= set(RECORDS)
    rows = document.read_text().splitlines()
    assert all(any(f"{a}: {b} |" in row for row in rows) for a, b in printed)
