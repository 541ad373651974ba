"""A segment of a recording as EDF+, read back by edfio."""

import datetime
from pathlib import Path

import edfio
import numpy as np
import pytest

from pipeline.errors import InputError
from replay.annotations import END_MARK, Mark, annotation_bytes
from replay.recording.edf import write_edf
from replay.recording.segment import gap_mark
from tests.replay.recording.test_source import FS, write_segment


def test_signals_annotations_and_start_are_those_of_the_segment(tmp_path: Path) -> None:
    """To a hundredth of the resolution; beats, rhythms and gaps at their times; owner alone."""
    header = write_segment(tmp_path, leads=("II", ""), gains=(1000.0, 100.0))
    beats = [Mark(10, "+", "(N"), Mark(10, "N"), Mark(300, "V")]
    header.with_suffix(".mon").write_bytes(annotation_bytes(beats) + END_MARK)
    header.with_suffix(".quality").write_bytes(annotation_bytes([gap_mark(500, 25)]) + END_MARK)

    read = edfio.read_edf(write_edf(header))

    assert [signal.label for signal in read.signals] == ["II", "signal 1"]
    assert [signal.sampling_frequency for signal in read.signals] == [FS, FS]
    np.testing.assert_allclose(read.signals[0].data, np.arange(1000) / 1000, atol=2e-5)
    assert read.startdatetime == datetime.datetime(2001, 9, 9, 1, 46, 40)
    assert [(note.onset, note.text) for note in read.annotations] == [
        (0.04, "(N"), (0.04, "N"), (1.2, "V"), (2.0, "gap of 25 samples")
    ]  # fmt: skip
    assert header.with_suffix(".edf").stat().st_mode & 0o777 == 0o600


def test_a_part_of_a_second_is_filled_up(tmp_path: Path) -> None:
    """EDF has whole data records: behind the last sample is the lowest value."""
    header = write_segment(tmp_path, n=1001)

    (signal,) = edfio.read_edf(write_edf(header)).signals

    assert signal.data.size == 1250
    assert set(signal.digital[1001:].tolist()) == {-32768}


def test_a_rate_that_edf_does_not_have_is_refused(tmp_path: Path) -> None:
    """A data record has a whole number of samples, and lasts no longer than a minute."""
    header = write_segment(tmp_path, fs_hz=130.0611)

    with pytest.raises(InputError, match=r"no data records for 130\.061 Hz"):
        write_edf(header)
