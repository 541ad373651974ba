"""Noise: mixed as nst mixes it, counted as bxb counts it, shown, and written into a document."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ec57.annotators import Score
from models.evaluation.report.document_file import replace_section, split_at_section
from models.evaluation.report.documents import Section
from models.evaluation.report.markdown import markdown
from models.evaluation.report.noise import draw_noise, noise_sections
from models.evaluation.stress.noise import (
    NORMAL_QRS,
    add_noise,
    noise_amplitude,
    noise_gain,
    noisy_parts,
    signal_amplitude,
)
from models.evaluation.stress.noise_stress import (
    NOISES,
    RECORDS,
    SNRS_DB,
    Count,
    NoiseLine,
    StreamOutput,
    false_alerts,
    read_clean,
    withdrawn,
)
from models.measure.provenance import Provenance
from monitor.cli import app as cli
from monitor.measure.output import WIDTH, print_sections
from pipeline.errors import ConfigError
from pipeline.schema.public import Alert
from replay.annotations import read_beats
from replay.records import read_lead, read_leads, write_beats
from tests.support import reference
from tests.support.databases import database
from tests.support.paths import ROOT

pytestmark = pytest.mark.system

FS_HZ = 50
MINUTE = 60 * FS_HZ


def spikes(at: np.ndarray, n: int, height: float = 1.0) -> np.ndarray:
    """Return QRS of ``height`` up and half of it down."""
    x = np.zeros(n, dtype=np.float32)
    x[at], x[at + 1] = height, -height / 2
    return x


def test_amplitude_is_the_trimmed_mean_from_peak_to_peak() -> None:
    """Within 50 ms of the first 300 beats, a twentieth left out at either end."""
    at = np.arange(30, 400 * 50, 50)
    x = spikes(at, 400 * 50 + 50, 2.0)
    x[at[:15]] = 100.0
    x[at[300:]] = 50.0

    assert signal_amplitude(x, at, FS_HZ) == pytest.approx(3.0)
    assert signal_amplitude(x, np.array([0, 2, at[20], x.size - 1]), FS_HZ) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="no QRS"):
        signal_amplitude(x, np.array([0, x.size - 1]), FS_HZ)


def test_noise_is_measured_second_by_second_about_its_mean() -> None:
    """An offset and a slow drift are no noise; loud seconds count no more than others."""
    t = np.arange(320 * FS_HZ) / FS_HZ
    sine = np.sin(2 * np.pi * 5 * t)
    noise = (3.0 + 0.001 * t + np.where(t < 10, 50.0, 1.0) * sine).astype(np.float32)

    assert noise_amplitude(noise, FS_HZ) == pytest.approx(np.sqrt(0.5), rel=0.01)
    with pytest.raises(ValueError, match="less than a second"):
        noise_amplitude(noise[: FS_HZ - 1], FS_HZ)


def test_six_decibels_are_a_factor_of_two() -> None:
    """At 0 dB the noise is as strong as a sine of the signal's amplitude."""
    assert noise_gain(0, 2.0, 1.0) == pytest.approx(np.sqrt(0.5))
    assert noise_gain(-6, 2.0, 1.0) / noise_gain(0, 2.0, 1.0) == pytest.approx(2.0, rel=0.003)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    minutes=st.floats(0, 12),
    length=st.integers(1, 5 * MINUTE),
    gain=st.floats(0, 10),
)
def test_noise_comes_in_turns_and_never_makes_a_jump(
    seed: int, minutes: float, length: int, gain: float
) -> None:
    """In the noisy parts what is added goes as the noise does, elsewhere it stays as it is."""
    rng = np.random.default_rng(seed)
    clean = rng.normal(0, 1, round(minutes * MINUTE)).astype(np.float32)
    noise = np.cumsum(rng.normal(0, 0.1, length)).astype(np.float32)
    inside = np.zeros(clean.size, dtype=bool)
    for first, end in noisy_parts(clean.size, FS_HZ):
        inside[first:end] = True
    minute = np.arange(clean.size) // MINUTE
    assert (inside == (minute >= 5) & ((minute - 5) % 4 < 2)).all()

    added = add_noise(clean, noise, gain, FS_HZ).astype(float) - clean

    steps = np.diff(added)
    rises = gain * np.diff(noise.astype(float), prepend=noise[0])
    expected = np.where(inside, rises[np.arange(clean.size) % length], 0.0)[1:]
    np.testing.assert_allclose(steps, expected, atol=1e-4 * (1 + gain))
    assert not added[: 5 * MINUTE].any()


def test_no_noise_cannot_be_added() -> None:
    """An empty record is a ValueError, not silence."""
    with pytest.raises(ValueError, match="no noise"):
        add_noise(np.zeros(6 * MINUTE, np.float32), np.zeros(0, np.float32), 1.0, FS_HZ)


@pytest.mark.parametrize(("made", "snr_db"), [("118e00", 0), ("118e_6", -6)])
def test_mixture_is_that_of_the_database(made: str, snr_db: float) -> None:
    """Of 118 and ``em`` we make the database's record: apart by less than a unit of its converter.

    That is 5 uV, where the noise has 1 mV and more. Its header sets the zero 5.12 mV lower, and
    its last sample is none.
    """
    nstdb, mitdb = database("nstdb"), database("mitdb")
    info, clean = read_lead(mitdb / "118", 0)
    noise = read_lead(nstdb / "em", 0)[1]
    expected = read_lead(nstdb / made, 0)[1]
    beats, symbols = read_beats(mitdb / "118", lead=0)
    normal = beats[[symbol in NORMAL_QRS for symbol in symbols]]
    amplitude = signal_amplitude(clean, normal, info.fs_hz)
    gain = noise_gain(snr_db, amplitude, noise_amplitude(noise, info.fs_hz))

    error = (add_noise(clean, noise, gain, info.fs_hz) - expected)[:-1]
    error -= np.median(error[: round(300 * info.fs_hz)])

    for first, end in noisy_parts(error.size, info.fs_hz):
        assert np.std(error[first:end]) < 0.005
        assert np.std((clean - expected)[first:end]) > 0.5
    clean_start = error[: round(300 * info.fs_hz)]
    assert np.abs(clean_start).max() < 1e-5


def alert(kind: str, sample: int) -> Alert:
    """Return an alert on the heart."""
    return Alert(
        stream="x", kind=kind, category="physiological", priority="low", sample=sample,
        time_s=sample / FS_HZ, reason="",
    )  # fmt: skip


def test_false_alerts_are_those_the_annotation_does_not_bear_out() -> None:
    """Of normal beats, of none, and of a pause that is none; not those of the first minutes."""
    late = 300 * FS_HZ
    annotated = late + np.array([0, 50, 100, 150, 1000])
    classes = np.array(["N", "V", "S", "N", "N"])
    found = np.array([5, *(late + np.array([1, 49, 101, 152, 500]))])
    places = (5, late + 1, late + 49, late + 101, late + 500)
    alerts = [alert("anomalous_beat", int(sample)) for sample in places]
    alerts += [alert("asystole", late + 120), alert("asystole", late + 700)]

    output = StreamOutput(found=found, not_analysable=[], alerts=alerts)

    assert false_alerts(output, annotated, classes, FS_HZ) == 3


def test_what_was_found_where_nothing_could_be_seen_is_withdrawn() -> None:
    """Stretches are half open; each begins and ends with a mark, also where one follows another."""
    found = np.array([5, 10, 15, 20, 30, 40])
    output = StreamOutput(found=found, not_analysable=[(10, 20), (20, 30)], alerts=[])

    left = withdrawn(output, FS_HZ)

    assert list(zip(left.sample.tolist(), left.symbol, left.subtype.tolist(), strict=True)) == [
        (5, "N", 0), (10, "~", 0x30), (20, "~", 0), (20, "~", 0x30), (30, "N", 0), (30, "~", 0),
        (40, "N", 0),
    ]  # fmt: skip


def counted(scale: int) -> Count:
    """Return a count in which every cell matters."""
    matrix = np.zeros((7, 7), dtype=np.int64)
    matrix[0, 0], matrix[0, 5], matrix[0, 6], matrix[5, 0] = 80, 10, 10, 20
    return Count(
        hours=0.5, matrix=scale * matrix, analysable=scale * matrix, noisy_s=100.0,
        not_analysable_s=25.0,
        alerts=4, false_alerts=3 * scale,
    )  # fmt: skip


def test_figures_of_records_are_those_of_their_sums() -> None:
    """Beats missed where nothing could be seen count as missed, and are left out of analysable."""
    figures = (counted(1) + counted(3)).figures()

    assert figures.qrs.sensitivity == pytest.approx(80)
    assert figures.qrs.positive_predictivity == pytest.approx(80)
    assert figures.analysable.sensitivity == pytest.approx(100 * 8 / 9)
    assert figures.false_detections_per_hour == pytest.approx(80)
    assert figures.false_alerts_per_hour == pytest.approx(12)
    assert figures.not_analysable == pytest.approx(25)


def lines() -> list[NoiseLine]:
    """Return what the evaluation yields, every ratio with figures of its own."""
    made = []
    for i, (noise, snr_db) in enumerate(
        [(None, None), *((noise, snr_db) for noise in NOISES for snr_db in SNRS_DB)]
    ):
        for record in (*RECORDS, None):
            figures = counted(i + 1).figures()
            made.append(
                NoiseLine(
                    record=record, noise=noise, snr_db=snr_db, leads=["MLII"], figures=figures
                )
            )
    return made


def test_table_page_and_picture_hold_all_ratios(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A row a ratio in both, at most 100 columns wide; a picture with a line a noise."""
    machine = Provenance(processor="p", cores=2, python="3", commit="abc", date="d")
    sections = noise_sections(lines(), machine)
    print_sections(sections)
    shown = capsys.readouterr().out
    page = markdown(sections)
    picture = draw_noise(lines(), tmp_path)

    rows = 1 + len(NOISES) * len(SNRS_DB)
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert sum(line.startswith("│ ") for line in shown.splitlines()) == rows + 2
    assert sum("80.00 | 80.00 |" in line for line in page.splitlines()) == rows + 2
    assert "commit abc" in page
    gqrs = Score(1732, 184, 1732, 906)
    assert f"| {gqrs.sensitivity:.2f} | {gqrs.positive_predictivity:.2f} |" in page
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_each_lead_has_noise_of_its_own_at_the_ratio_of_its_own_qrs() -> None:
    """As in the database itself; of one lead it is the signal of the noise of the lead's place."""
    path, noise_path = database("mitdb") / "118", database("nstdb") / "em"
    _, noise = read_leads(noise_path, "all")
    both, first, second = (read_clean(path, leads) for leads in ("all", 0, "V1"))

    mixed = both.with_noise(noise, 0)

    assert both.leads == {"MLII": 0, "V1": 1}
    assert (first.leads, second.leads) == ({"MLII": 0}, {"V1": 1})
    np.testing.assert_array_equal(mixed[0], first.with_noise(noise, 0))
    np.testing.assert_array_equal(mixed[1], second.with_noise(noise, 0))
    added = noise[1]
    gain = noise_gain(0, second.amplitude_mv[0], noise_amplitude(added, 360))
    np.testing.assert_array_equal(mixed[1], add_noise(second.samples, added, gain, 360))


def record(folder: Path, name: str, samples: np.ndarray) -> None:
    """Write a record of one lead at 100 Hz, 200 units a mV."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.hea").write_text(
        f"{name} 1 100 {samples.size}\n{name}.dat 16 200 16 0 0 0 0 II\n"
    )
    np.round(200 * samples).astype("<i2").tofile(folder / f"{name}.dat")


def test_the_command_mixes_every_noise_into_every_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One object a line; strong noise costs what weak noise does not, and only its own kind."""
    rng = np.random.default_rng(0)
    n = 340 * 100
    for i, name in enumerate(RECORDS):
        samples, times = reference.ecg(340, 100, seed=i, bpm=40)
        record(tmp_path / "mitdb", name, samples)
        r = np.round(times * 100).astype(np.int64)
        write_beats(tmp_path / "mitdb", name, "atr", r, ["N"] * r.size, 100)
    wander = np.sin(2 * np.pi * 0.2 * np.arange(n) / 100)
    for name in NOISES:
        record(tmp_path / "nstdb", name, wander if name == "bw" else rng.normal(0, 1, n))
    monkeypatch.setattr(sys, "argv", ["monitor", "evaluate", "noise", "--data", str(tmp_path)])
    sys.argv.append("--json")
    with pytest.raises(SystemExit) as left:
        cli.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    of_all = {(one["noise"], one["snr_db"]): one for one in lines if one["record"] is None}

    assert not left.value.code
    assert len(lines) == 3 * len(of_all) == 3 * (1 + len(NOISES) * len(SNRS_DB))
    clean, swaying, noisy = of_all[None, None], of_all["bw", 0], of_all["ma", -6]
    assert clean["qrs"]["sensitivity"] == swaying["qrs"]["sensitivity"] == 100
    assert clean["not_analysable"] == swaying["not_analysable"] == 0
    assert noisy["not_analysable"] > 90
    assert noisy["false_detections_per_hour"] > 100 + clean["false_detections_per_hour"]
    assert noisy["analysable"]["fp"] < 0.1 * noisy["qrs"]["fp"]


def test_only_its_own_place_in_a_document_is_written(tmp_path: Path) -> None:
    """What a person wrote stays, and writing twice is writing once."""
    file = tmp_path / "page.md"
    begin, end = "<!-- noise: written by a command -->", "<!-- end of noise -->"
    file.write_text(f"before\n{begin}\nold\n{end}\nbehind\n")

    replace_section(file, "noise", [Section(blocks=["| new |"])])
    once = file.read_text()
    replace_section(file, "noise", [Section(blocks=["| new |"])])

    assert once == f"before\n{begin}\n\n| new |\n\n{end}\nbehind\n"
    assert file.read_text() == once
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


@pytest.mark.parametrize(
    "text",
    ["nothing", "<!-- noise: written by a command -->\n", "<!-- end of noise -->"],
)
def test_a_document_without_a_place_is_refused(tmp_path: Path, text: str) -> None:
    """Before anything is measured, and in one line; so is one that is not there."""
    file = tmp_path / "page.md"
    file.write_text(text)
    for path in (file, tmp_path / "none.md", tmp_path):
        with pytest.raises(ConfigError) as error:
            split_at_section(path, "noise")
        assert "\n" not in str(error.value)


def test_every_noise_of_the_protocol_is_in_the_document() -> None:
    """docs/detector.md has a place for what the commands write."""
    document = ROOT / "docs" / "detector.md"
    for name in ("noise", "faults"):
        before, behind = split_at_section(document, name)
        assert before
        assert behind
