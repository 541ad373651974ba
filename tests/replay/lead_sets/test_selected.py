"""Some leads of a device are taken, and the rest of it stays as it is."""

from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.errors import LeadError
from pipeline.signal.samples import SampleBlock
from replay.lead_sets.selected import SelectedLeads, usual_leads, usual_leads_text
from replay.source import SourceInfo, SourceReport


class Device:
    """A device of three leads that reports."""

    def __init__(self) -> None:
        self.closed = False
        self.info = SourceInfo(stream="d", fs_hz=250.0, leads=("I", "II", "V1"))

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield a pause and a block with a flag in V1."""
        yield None
        samples = np.arange(12, dtype=np.float32).reshape(3, 4)
        yield SampleBlock(3, samples, (samples == 11).astype(np.uint8), epoch=1, stamp_s=5.0)

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Record that it is closed."""
        self.closed = True

    def report(self) -> SourceReport:
        """Return a report."""
        return SourceReport(2, "gone")


@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        ("II", ("II",)),
        ("v1,I", ("V1", "I")),
        ("2,0", ("V1", "I")),
        ("all", ("I", "II", "V1")),
    ],
)
def test_blocks_have_the_leads_that_are_taken(asked: str, leads: tuple[str, ...]) -> None:
    """One lead in one dimension; flags, stamps and reports go with them."""
    device = Device()
    source = SelectedLeads(device, asked)
    pause, block = source.blocks()

    rows = [device.info.leads.index(lead) for lead in leads]
    expected = np.arange(12, dtype=np.float32).reshape(3, 4)[rows]
    assert source.info.leads == leads
    assert pause is None
    assert block is not None
    np.testing.assert_array_equal(block.samples, expected if len(rows) > 1 else expected[0])
    assert (block.first_sample, block.epoch, block.stamp_s) == (3, 1, 5.0)
    assert (block.flags is None) == ("V1" not in leads)
    assert source.report() == SourceReport(2, "gone")
    source.close()
    assert device.closed


@pytest.mark.parametrize(("asked", "said"), [("V9", "no lead 'V9'.*'V1'"), ("I,0", "named twice")])
def test_a_lead_that_the_device_lacks_is_one_line(asked: str, said: str) -> None:
    """The device is given back."""
    device = Device()
    with pytest.raises(LeadError, match=said):
        SelectedLeads(device, asked)
    assert device.closed


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["I"], ["I"]),
        (["I", "II", "III"], ["I", "II", "III"]),
        (["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V5"], ["II", "I", "V1"]),
        (["V1", "V2", "V3", "V4"], ["V1", "V2", "V3"]),
        (["aVL", "aVF", "aVR", "MLII", "V5"], ["MLII", "aVL", "aVF"]),
        (["I", "III", "aVF", "C"], ["I", "III", "C"]),
    ],
)
def test_of_a_device_three_leads_are_watched_that_add_a_view(
    names: list[str], expected: list[str]
) -> None:
    """Any two limb leads give the other four; what is left out is said."""
    assert usual_leads(names) == expected
    text = usual_leads_text(names)
    assert bool(text) == (len(expected) < len(names))
    assert all(repr(name) in text for name in names if text)


def test_a_device_of_many_leads_is_watched_by_the_usual_ones() -> None:
    """Where none is asked for; ``all`` takes all."""
    device = Device()
    device.info = SourceInfo(stream="d", fs_hz=250.0, leads=("V1", "V2", "V3", "II"))
    assert SelectedLeads(device, None).info.leads == ("II", "V1", "V2")
    assert SelectedLeads(device, "all").info.leads == ("V1", "V2", "V3", "II")
