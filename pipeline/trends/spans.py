"""Stretches of a stream in which something held. Pure in memory."""

from pipeline.schema.state import State, field


class Spans(State):
    """Stretches in order, in source samples; of the last one the end may not be known yet."""

    over: list[tuple[int, int]] = field(default_factory=list)
    """(first sample, one past the last) of each that is over."""
    since: int | None = None
    """Where the present one began."""

    def begin(self, sample: int) -> None:
        """Begin a stretch, unless one is under way."""
        if self.since is None:
            self.since = sample

    def end(self, sample: int) -> None:
        """End the present stretch, where there is one."""
        if self.since is not None and sample > self.since:
            self.over.append((self.since, sample))
        self.since = None

    def within(self, begin: int, end: int) -> int:
        """Return how many samples of a part of the stream lie in stretches."""
        found = sum(max(0, min(b, end) - max(a, begin)) for a, b in self.over)
        return found if self.since is None else found + max(0, end - max(self.since, begin))

    def forget(self, before: int) -> None:
        """Forget the stretches that were over by then."""
        if self.over and self.over[0][1] <= before:
            self.over = [one for one in self.over if one[1] > before]
