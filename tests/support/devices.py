"""The first samples of a device, which has no end of its own."""

from collections.abc import Iterator

from pipeline.signal.samples import SampleBlock
from replay.source import Source, SourceInfo


def until_samples(source: Source, samples: int) -> Iterator[SampleBlock | None]:
    """Yield blocks until so many samples of a lead came."""
    for block in source.blocks():
        yield block
        samples -= 0 if block is None else block.n
        if samples <= 0:
            return


class First:
    """The first samples of a source, as a source."""

    def __init__(self, source: Source, samples: int) -> None:
        self.source, self.samples = source, samples

    @property
    def info(self) -> SourceInfo:
        """Return that of the source."""
        return self.source.info

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield them."""
        return until_samples(self.source, self.samples)

    def seek(self, epoch: int, sample: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the source."""
        self.source.close()
