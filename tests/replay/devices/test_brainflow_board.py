"""Boards of BrainFlow: its synthetic board, and one that plays a file that was recorded of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from brainflow.board_shim import BoardIds, BoardShim, BrainFlowInputParams
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, DeviceError
from pipeline.signal.samples import SampleBlock
from replay.devices.addresses import open_device
from replay.devices.brainflow_board import BrainFlowSource, KnownBoard, board_names
from replay.devices.reconnecting import FAULT_S
from replay.source import Source
from tests.replay.devices.test_serial_device import positions
from tests.support.running import until


def collected(source: Source, samples: int) -> list[SampleBlock]:
    """Return blocks until they hold so many samples of a lead."""
    got: list[SampleBlock] = []
    for block in source.blocks():
        got += [] if block is None else [block]
        if sum(one.n for one in got) >= samples:
            break
    return got


def test_the_synthetic_board_sends_complete_samples_in_mv() -> None:
    """250 samples a second, beyond where its count wraps; its sines of microvolts become mV."""
    with contextlib.closing(open_device("brainflow:synthetic?channels=1,3&leads=I,II")) as source:
        assert (source.info.fs_hz, source.info.leads) == (250.0, ("I", "II"))
        assert source.info.stream == "synthetic"
        got = collected(source, 400)
        count = sum(block.n for block in got)
        assert got[-1].end == count
        signal = np.concatenate([block.samples for block in got], axis=1)
        assert signal.shape == (2, count)
        assert 0.001 < np.abs(signal).max() < 1


def test_the_playback_board_gives_what_was_recorded(tmp_path: Path) -> None:
    """The same values, of the channel that was asked for."""
    path = tmp_path / "board.csv"
    board = BoardShim(BoardIds.SYNTHETIC_BOARD.value, BrainFlowInputParams())
    board.prepare_session()
    board.add_streamer(f"file://{path}:w")
    board.start_stream()
    until(lambda: board.get_board_data_count() >= 100)
    recorded = board.get_board_data()
    board.stop_stream()
    board.release_session()
    address = f"brainflow:playback?file={path}&master_board=synthetic&channels=2"
    with contextlib.closing(open_device(address)) as source:
        played = np.concatenate([block.samples for block in collected(source, 80)])
        np.testing.assert_allclose(played[:50], recorded[2, :50] / 1000, atol=1e-6)


class Board:
    """A board whose packets the test chooses, in place of BrainFlow's."""

    waiting: list[np.ndarray]
    absent = False

    def __init__(self, *_: Any) -> None:
        self.waiting = []
        Board.latest = self

    def prepare_session(self) -> None:
        """Open, if it is there."""
        from brainflow.board_shim import BrainFlowError

        if Board.absent:
            raise BrainFlowError("unable to prepare streaming session", 2)

    def start_stream(self, _: int) -> None:
        """Begin."""

    def release_session(self) -> None:
        """End."""

    def get_board_data(self) -> np.ndarray:
        """Return what waits."""
        return self.waiting.pop(0) if self.waiting else np.zeros((32, 0))

    latest: "Board"


def packets(*counts: int) -> np.ndarray:
    """Return packets of those counts."""
    data = np.zeros((32, len(counts)))
    data[0] = counts
    return data


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BrainFlowSource, list[float]]]:
    """A source of a `Board`, and its clock."""
    from replay.devices import brainflow_board

    class Shim(Board):
        disable_board_logger = staticmethod(BoardShim.disable_board_logger)
        get_board_descr = staticmethod(BoardShim.get_board_descr)

    monkeypatch.setattr(brainflow_board.board_shim, "BoardShim", Shim)
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    source = BrainFlowSource(
        KnownBoard("synthetic", {}, [1]), leads=["ecg1"], stream="b", clock=lambda: now[0],
        wait=wait,
    )  # fmt: skip
    yield source, now
    source.close()


def test_missing_packets_are_a_gap_also_where_the_count_wraps(
    chosen: tuple[BrainFlowSource, list[float]],
) -> None:
    """Of exactly those; a board that begins again before 256 loses nothing there."""
    source, _ = chosen
    Board.latest.waiting = [packets(252, 253, 255, 1, 2), packets(5, 6), packets(0, 1)]
    got = collected(source, 9)
    assert positions(got) == [0, 1, 3, 5, 6, 9, 10, 11, 12]


def test_a_board_that_falls_silent_is_opened_again_after_a_gap(
    chosen: tuple[BrainFlowSource, list[float]],
) -> None:
    """What is wrong is said meanwhile; its count starts over."""
    source, now = chosen
    Board.latest.waiting = [packets(1, 2, 3)]
    collected(source, 3)
    first, faults = Board.latest, []
    Board.absent = True
    blocks = source.blocks()
    while len(faults) < 2:
        assert next(blocks) is None
        report = source.report()
        faults += [report.fault] if report is not None else []
    assert faults[0].endswith("sends nothing: check its power and its cable")
    assert faults[1].endswith("is gone: switch it on and plug it in; it is looked for")
    assert now[0] > FAULT_S
    Board.absent = False
    while Board.latest is first or source.report() is None:
        next(blocks)
    Board.latest.waiting = [packets(77, 78)]
    [block] = collected(source, 2)
    assert abs(block.end - now[0] * 250) <= 10


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("brainflow:", ConfigError, "^'' is no board of BrainFlow; with ECG: .*cyton"),
        ("brainflow:cytton", ConfigError, "^'cytton' is no board of BrainFlow; with ECG: .*cyton"),
        ("brainflow:unicorn", ConfigError, "has no ECG; with ECG"),
        ("brainflow:synthetic?channels=17", ConfigError, "ECG channels 1 to 16"),
        ("brainflow:synthetic?channels=0", ConfigError, "ECG channels 1 to 16"),
        ("brainflow:synthetic?channels=a", ConfigError, "channels= takes numbers"),
        ("brainflow:synthetic?channels=1&leads=I,II", ConfigError, "go together"),
        ("brainflow:synthetic?fs=250", ConfigError, "unknown 'fs=250'"),
        ("brainflow:playback?file=x", ConfigError, "master_board=synthetic"),
        ("brainflow:aavaa-v3?channels=1&leads=I,II", ConfigError, "go together"),
        ("brainflow:cyton?serial_port=/dev/nope", DeviceError, "cannot be opened"),
    ],
)
def test_a_board_that_cannot_be_used_is_one_line(
    address: str, error: type[Exception], message: str
) -> None:
    """What is wrong, where, and what to do."""
    with pytest.raises(error, match=message) as caught:
        open_device(address)
    assert str(caught.value).isprintable()


def test_boards_with_ecg_are_known() -> None:
    """From BrainFlow's own table."""
    assert {"cyton", "ganglion", "synthetic", "callibri_ecg"} <= set(board_names())


@settings(max_examples=50)
@given(st.lists(st.lists(st.floats(), min_size=1, max_size=40), max_size=8))
def test_any_count_of_packets_is_survived(rounds: list[list[float]]) -> None:
    """Positions ascend, and no sample is lost or made."""
    source = BrainFlowSource.__new__(BrainFlowSource)
    from replay.devices.packet_positions import PacketPositions

    source._known = SimpleNamespace(rows=[1], count_row=0)  # type: ignore[assignment]
    source._count = None
    source._positions, source._next, source._read_s = PacketPositions(250), 0, 0.0
    at = 0
    for counts in rounds:
        data = packets(*[0] * len(counts))
        data[0] = counts
        blocks = list(source._blocks_of(data))
        assert sum(block.n for block in blocks) == len(counts)
        for block in blocks:
            assert block.first_sample >= at
            at = block.end
