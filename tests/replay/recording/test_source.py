"""A recording that is played back, by a folder that somebody else may have made."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.inputs import find_leads, open_record
from pipeline.errors import ConfigError, InputError, MonitorError
from pipeline.signal.samples import SampleBlock
from replay.annotations import Mark, annotation_bytes, marks_in
from replay.recording.segment import (
    Segment,
    digitised,
    fitting_gains,
    flag_marks,
    gap_mark,
    header_text,
    is_segment_name,
    name_stem,
    quality_of,
    read_segment,
)
from replay.recording.source import RecordingSource, load_part, recordings
from replay.source import Source

FS = 250


def write_segment(folder: Path, first: int = 0, n: int = 1000, **facts: Any) -> Path:
    """Write a segment that has ended, of samples that count on from 0.001 mV times their index."""
    fields: dict[str, Any] = {
        "name": f"s-20260301T{facts.get('began_s', 0) % 240_000:06d}Z", "stream": "s",
        "log_id": "a", "epoch": 0, "first_sample": first, "fs_hz": float(FS), "leads": ("II",),
        "gains": (1000.0,), "began_s": 1e9 + first, **facts,
    }  # fmt: skip
    fields["name"] = f"s-20260301T{first + 1000 * fields['epoch']:06d}Z"
    segment = Segment(**fields)
    samples = np.tile(np.arange(first, first + n, dtype=np.float32) / 1000, (len(segment.leads), 1))
    header = folder / f"{segment.name}.hea"
    header.with_suffix(".dat").write_bytes(digitised(samples, segment.gains))
    header.write_text(header_text(segment, n))
    return header


def blocks_of(source: Source) -> list[SampleBlock]:
    """Return all that a source yields."""
    return [block for block in source.blocks() if block is not None]


def test_segments_of_a_stream_are_one_source_and_other_records_are_none(tmp_path: Path) -> None:
    """In the order in which they were recorded, whatever the order of the names."""
    paths = [write_segment(tmp_path, first) for first in (2000, 0, 1000)]
    paths += [write_segment(tmp_path, 9000, stream="other"), tmp_path / "r.hea"]
    (tmp_path / "r.hea").write_text("r 1 250 2000\nr.dat 16 200\n")
    (tmp_path / "r.dat").write_bytes(bytes(4000))

    streams, others = recordings(paths)

    assert [[path.name for path in stream] for stream in streams] == [
        ["s-20260301T009000Z.hea"],
        ["s-20260301T000000Z.hea", "s-20260301T001000Z.hea", "s-20260301T002000Z.hea"],
    ]
    assert others == [tmp_path / "r.hea"]
    found = find_leads([str(tmp_path)], None).leads
    sources = [open_record(one, speed=None) for one in found]
    assert [source.info.stream for source in sources] == ["r", "other", "s"]
    blocks = blocks_of(sources[-1])
    assert [blocks[0].first_sample, blocks[-1].end] == [0, 3000]
    np.testing.assert_allclose(
        np.concatenate([block.samples for block in blocks]), np.arange(3000) / 1000, atol=1e-6
    )


def test_start_duration_and_seek_count_recorded_signal(tmp_path: Path) -> None:
    """From 6 s on for 4 s; a source that takes over begins where the hub is."""
    headers = [
        write_segment(tmp_path),
        write_segment(tmp_path, 5000),
        write_segment(tmp_path, 0, epoch=1),
    ]
    source = RecordingSource(headers, speed=None, start_s=6.0, duration_s=4.0)

    assert source.first_sample == 5500
    assert source.info.total_samples == 1000
    assert [(b.epoch, b.first_sample, b.end) for b in blocks_of(source)] == [
        (0, 5500, 6000), (1, 0, 500)
    ]  # fmt: skip
    source.seek(0, 5900)
    assert [(b.epoch, b.first_sample) for b in blocks_of(source)] == [(0, 5900), (1, 0)]
    source.seek(1, 100)
    assert [(b.epoch, b.first_sample) for b in blocks_of(source)] == [(1, 100)]
    with pytest.raises(ConfigError, match="ends at 12 s of signal, before the start at 13 s"):
        RecordingSource(headers, start_s=13.0)


def test_a_recording_cannot_be_looped(tmp_path: Path) -> None:
    """Said in one line."""
    write_segment(tmp_path)
    (found,) = find_leads([str(tmp_path)], None).leads

    with pytest.raises(ConfigError, match="is part of a recording, which does not loop"):
        open_record(found, speed=None, loop=True)


def test_all_leads_are_played_unless_some_are_asked_for(tmp_path: Path) -> None:
    """Those that were watched: not only three, and whatever they are called."""
    names = ("II", "V1", "V2", "V3", "x")
    header = write_segment(tmp_path, leads=names, gains=5 * (1000.0,))

    (found,) = find_leads([str(header)], None).leads
    assert open_record(found, speed=None).info.leads == names
    (found,) = find_leads([str(header)], "V2,II").leads
    assert open_record(found, speed=None).info.leads == ("V2", "II")


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("stream", "../../etc/x"), ("stream", ""), ("stream", 5), ("stream", "a\x1b[2J"),
        ("log_id", "\n"), ("epoch", -1), ("epoch", True), ("epoch", 2**60), ("epoch", "0"),
        ("first_sample", 1e300), ("leads", []), ("leads", ["a", "b"]), ("leads", "II"),
        ("leads", ["\u202e"]), ("leads", [None]), ("began", "yesterday"), ("began", "9999-01-01"),
        ("began", None),
    ],
)  # fmt: skip
def test_a_hostile_fact_is_refused_in_one_line(tmp_path: Path, fact: str, value: object) -> None:
    """Whatever a header says of its stream."""
    header = write_segment(tmp_path)
    before, marker, facts = header.read_text().rpartition("# ecg-monitor facts ")
    header.write_text(before + marker + json.dumps({**json.loads(facts), fact: value}))

    with pytest.raises(InputError, match="is none of a recording") as refused:
        find_leads([str(tmp_path)], None)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "facts", ["", "[", "[]", "[" * 100_000, '{"leads": 1}', "{}", "null", '"' + "x" * 200_000]
)
def test_facts_that_are_no_json_object_are_refused(tmp_path: Path, facts: str) -> None:
    """Also those that nest so deeply that a parser fails, or are too long for a header."""
    header = write_segment(tmp_path)
    header.write_text(header.read_text().rpartition("facts ")[0] + "facts " + facts)

    with pytest.raises(InputError):
        read_segment(header)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("s.dat 16 1000(0)/mV 16 0 0 0 0 II", "cannot be read"),
        ("NAME.dat 212 1000(0)/mV 16 0 0 0 0 II", "other signals than a recording has"),
        ("NAME.dat 16x2 1000(0)/mV 16 0 0 0 0 II", "other signals than a recording has"),
        ("NAME.dat 16 1000(0)/uV 16 0 0 0 0 II", "other signals than a recording has"),
        ("NAME.dat 16 7(0)/mV 16 0 0 0 0 II", "a gain that no segment has"),
        ("/dev/zero 16 1000(0)/mV", "only a file in the header's own folder"),
    ],
)
def test_a_segment_passes_the_checks_of_every_record(
    tmp_path: Path, line: str, message: str
) -> None:
    """Its files are those of its folder, and its signals such as a recorder writes."""
    header = write_segment(tmp_path)
    lines = header.read_text().splitlines()
    lines[1] = line.replace("NAME", header.stem)
    if "212" in line or "16x2" in line:
        lines[0] = lines[0].replace(" 1000 ", " 100 ")
    header.write_text("\n".join(lines))

    with pytest.raises(InputError, match=message):
        load_part(header)


def test_a_segment_that_is_written_has_no_length_and_is_read_as_far_as_it_goes(
    tmp_path: Path,
) -> None:
    """The size of its file counts, without half a frame."""
    header = write_segment(tmp_path)
    read = read_segment(header)
    assert read is not None
    header.write_text(header_text(read[0]))
    with header.with_suffix(".dat").open("ab") as file:
        file.write(b"\1\0\1")

    assert read_segment(header) == (read[0], None)
    assert load_part(header).frames == 1001


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), texts=st.lists(st.text(max_size=30), max_size=3))
def test_hostile_annotations_of_quality_make_no_other_signal(
    tmp_path: Path, data: bytes, texts: list[str]
) -> None:
    """Gaps before the beginning, beyond the end, over each other: what is left is played once."""
    header = write_segment(tmp_path)
    marks = [Mark(n, '"', text) for n, text in enumerate(texts)]
    marks += [gap_mark(300, 10**9), gap_mark(200, 50), Mark(100, "~", "signal 99: lead off")]
    header.with_suffix(".quality").write_bytes(annotation_bytes(marks) + data)

    try:
        blocks = blocks_of(RecordingSource([header], speed=None))
    except MonitorError:
        return
    ends = [0, *(block.end for block in blocks)]
    assert all(block.first_sample >= end for block, end in zip(blocks, ends, strict=False))
    assert ends[-1] <= 1000


@settings(max_examples=50)
@given(
    flags=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_flags_come_back_however_the_samples_were_cut(flags: list[int], cuts: list[int]) -> None:
    """The changes that are annotated are those of the whole signal."""
    rows = np.array([flags, flags[::-1]], dtype=np.uint8)
    marks, before = [], np.zeros(2, dtype=np.uint8)
    edges = sorted({0, len(flags), *(cut for cut in cuts if cut < len(flags))})
    for a, b in itertools.pairwise(edges):
        part = rows[:, a:b] if rows[:, a:b].any() else None
        marks += flag_marks(a, part, b - a, before)

    quality = quality_of(marks_in(annotation_bytes(marks) + bytes(2)), 2)

    for lead, row in enumerate(rows):
        at, values = quality.changes(lead)
        read = values[np.searchsorted(at, np.arange(len(flags)), side="right")]
        assert read.tolist() == row.tolist()


@given(
    marks=st.lists(
        st.tuples(st.integers(0, 2**40), st.sampled_from("NSVFQ+~"), st.text(max_size=300)),
        max_size=20,
    )
)
def test_annotations_are_read_back_as_they_were_written(marks: list[tuple[int, str, str]]) -> None:
    """Out of order, far apart, with any text: all but what has no place in Latin-1 or 255 bytes."""
    written = [Mark(*mark) for mark in marks]

    read = marks_in(annotation_bytes(written) + bytes(2))

    texts = [m.text.encode("latin-1", "replace")[:255].decode("latin-1") for m in written]
    assert read == [m._replace(text=t) for m, t in zip(written, texts, strict=True)]


@given(st.text(alphabet="abcXYZ019._-", min_size=1, max_size=64))
def test_the_name_of_a_stream_becomes_one_of_files(stream: str) -> None:
    """Letters, digits, _ and - alone; a plain and short one stays as it is."""
    stem = name_stem(stream)

    assert is_segment_name(f"{stem}-20260301T000000Z")
    assert is_segment_name(f"{stem}-20260301T000000Z-17")
    assert (stem == stream) == ("." not in stream and len(stream) <= 40)


def test_values_beyond_all_ranges_are_at_the_end_of_one() -> None:
    """No value is so large that a gain cannot be found; what is not finite is unknown."""
    samples = np.array([[3e38, -3e38, np.inf, np.nan, 0.0]], dtype=np.float32)

    gains = fitting_gains(samples)
    values = np.frombuffer(digitised(samples, gains), dtype="<i2").tolist()

    assert values == [32767, -32767, -32768, -32768, 0]
