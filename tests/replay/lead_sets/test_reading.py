"""Several leads of a record come out as each would alone, side by side, whatever the pieces."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import LeadError
from pipeline.schema.messages import FLAG_SATURATED, MAX_CHUNK_SAMPLES
from replay.headers import load_header
from replay.lead_sets import frames
from replay.lead_sets.reading import LeadReader, LeadsReader
from replay.records import RecordSource, read_lead, read_leads

RATE_HZ = 100
FRAMES = 3000


def record(
    folder: Path, leads: Sequence[tuple[str, str]], values: Sequence[np.ndarray], files: int = 1
) -> Path:
    """Write a record of 16-bit signals, (name, format field) each; return its header."""
    lines = [f"r {len(leads)} {RATE_HZ} {FRAMES}"]
    per_file = -(-len(leads) // files)
    for file in range(files):
        own = range(file * per_file, min((file + 1) * per_file, len(leads)))
        rows = [values[i].reshape(FRAMES, -1) for i in own]
        np.concatenate(rows, axis=1).astype("<i2").tofile(folder / f"r{file}.dat")
        lines += [f"r{file}.dat {leads[i][1]} 200/mV 16 0 0 0 0 {leads[i][0]}" for i in own]
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    return folder / "r.hea"


def wave(per_frame: int, seed: int) -> np.ndarray:
    """Return a signal of up to some 15 Hz in ADC units, with an offset, at its own rate."""
    t = np.arange(FRAMES * per_frame) / (RATE_HZ * per_frame)
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    y = sum(np.sin(2 * np.pi * hz * t + p) for hz, p in zip((1.3, 6.1, 14.9), phase, strict=True))
    return np.rint(200.0 * y + 300.0)


@pytest.mark.parametrize("files", [1, 2, 3])
def test_leads_side_by_side_are_those_that_are_read_alone(tmp_path: Path, files: int) -> None:
    """In any order, of one file or several, with skew, invalid and saturated samples."""
    values = [wave(1, seed) for seed in range(3)]
    values[1][500:520] = 32767
    values[2][700:710] = -32768
    leads = [("I", "16"), ("II", "16:7"), ("V1", "16")]
    path = record(tmp_path, leads, values, files)

    info, samples = read_leads(path, [2, 0, 1])
    blocks = [b for b in RecordSource(path, leads=[2, 0, 1], speed=None).blocks() if b]

    assert (info.leads, info.lead, info.total_samples) == (("V1", "I", "II"), "V1", FRAMES)
    for row, lead in enumerate(info.leads):
        np.testing.assert_array_equal(samples[row], read_lead(path, lead)[1])
        alone = [b for b in RecordSource(path, lead=lead, speed=None).blocks() if b]
        flags = np.concatenate([np.zeros(b.n) if b.flags is None else b.flags for b in alone])
        beside = [np.zeros(b.n) if b.flags is None else b.flags[row] for b in blocks]
        np.testing.assert_array_equal(np.concatenate(beside), flags)
        assert (lead == "II") == bool((flags == FLAG_SATURATED).any())
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks], axis=1), samples)


@pytest.mark.parametrize(("slow", "fast"), [(1, 2), (1, 4), (2, 3), (3, 5)])
def test_leads_of_a_lower_rate_come_at_the_highest(tmp_path: Path, slow: int, fast: int) -> None:
    """The slow lead is what the fast one of the same signal is, but for rounding at the ends."""
    leads = [("V", f"16x{slow}"), ("II", f"16x{fast}")]
    path = record(tmp_path, leads, [wave(slow, 1), wave(fast, 1)])

    info, samples = read_leads(path, "II,V")

    assert (info.fs_hz, info.leads) == (RATE_HZ * fast, ("II", "V"))
    assert samples.shape == (2, FRAMES * fast)
    inner = slice(30 * fast, -30 * fast)
    assert np.abs(samples[0] - samples[1])[inner].max() < 0.02  # mV, of 3 mV
    assert np.abs(samples[0] - samples[1]).max() < 1.0  # without a step to 0


@pytest.mark.parametrize("step", [1, 7, 100, 4999])
def test_pieces_do_not_change_what_is_resampled(tmp_path: Path, step: int) -> None:
    """Bit for bit, around unknown samples as well: unknown is what lies nearest to one."""
    values = [wave(2, 1), wave(3, 2)]
    values[0][800:805] = -32768
    values[0][1200:1400] = -32768
    path = record(tmp_path, [("V", "16x2"), ("II", "16x3")], values)
    header = load_header(path)
    whole, _ = LeadsReader(header, [0, 1]).read(0, FRAMES * 3)
    begin, end = 1100, 1100 + max(40 * step, 1200)
    reader = LeadsReader(header, [0, 1])

    parts = [reader.read(a, min(a + step, end))[0] for a in range(begin, min(end, 3100), step)]

    joined = np.concatenate(parts, axis=1)
    np.testing.assert_array_equal(joined, whole[:, begin : begin + joined.shape[1]])
    unknown = np.isnan(whole[0])
    assert unknown.sum() == pytest.approx((5 + 200) * 3 / 2, abs=2)
    assert not np.isnan(whole[1]).any()
    assert np.abs(whole[0][~unknown]).max() < 5.0


def test_a_day_is_read_in_pieces_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No read takes in more than one piece of all signals, and each file is read once for it."""
    monkeypatch.setattr(frames, "PIECE_SAMPLES", 600)
    path = record(
        tmp_path, [("I", "16"), ("II", "16"), ("V1", "16")], [wave(1, s) for s in range(3)]
    )
    reads = []
    decoded = frames._decoded

    def counted(*arguments: object) -> object:
        reads.append(arguments)
        return decoded(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(frames, "_decoded", counted)
    blocks = [b for b in RecordSource(path, leads=[0, 1, 2], speed=None).blocks() if b]

    assert sum(b.n for b in blocks) == FRAMES
    assert len(reads) == FRAMES / 200
    assert max(end - begin for *_, begin, end in reads) <= 200 + 8


def test_blocks_of_twelve_leads_fit_into_a_chunk(tmp_path: Path) -> None:
    """At any speed; thirteen leads are refused."""
    leads = [(f"V{i}", "16") for i in range(13)]
    path = record(tmp_path, leads, [wave(1, s) for s in range(13)])

    blocks = [b for b in RecordSource(path, leads=range(12), speed=None).blocks() if b]

    assert max(b.samples.size for b in blocks) <= MAX_CHUNK_SAMPLES
    assert sum(b.n for b in blocks) == FRAMES
    with pytest.raises(LeadError, match="13 leads; 12 at most"):
        RecordSource(path, leads=range(13), speed=None)


def test_leads_of_one_name_get_names_that_differ(tmp_path: Path) -> None:
    """The wire has no two leads alike; a record may. They are asked for by the names they get."""
    path = record(tmp_path, [("ECG", "16")] * 3, [wave(1, s) for s in range(3)])
    assert read_leads(path, "all")[0].leads == ("ECG", "ECG-2", "ECG-3")
    info, samples = read_leads(path, "ECG-3,ecg-2")
    assert info.leads == ("ECG-3", "ECG-2")
    np.testing.assert_array_equal(samples, read_leads(path, [2, 1])[1])
    info, sample = read_lead(path, "ECG-2")
    assert info.lead == "ECG"
    np.testing.assert_array_equal(sample, samples[1])


def test_one_lead_is_read_without_a_second_axis(tmp_path: Path) -> None:
    """A source of one lead yields what it always did."""
    path = record(tmp_path, [("I", "16"), ("II", "16")], [wave(1, 1), wave(1, 2)])
    [block] = [b for b in RecordSource(path, leads=[1], speed=None).blocks() if b]
    expected, _ = LeadReader(load_header(path), 1).read(0, FRAMES)
    np.testing.assert_array_equal(block.samples, expected)
    assert read_leads(path, "II")[1].shape == (1, FRAMES)
