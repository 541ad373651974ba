"""How a hub has the whole signal of its streams recorded, wherever that goes.

A `StreamRecorder` is given every event that the streams take in, with what follows from it, and is
asked to write before the hub saves the state of a stream: events that are in a saved state are not
applied again after a restart, so what follows from them must be on disk by then.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from pipeline.schema.messages import Event
from pipeline.schema.public import RecordingReport
from pipeline.stream.outcome import Outcome
from pipeline.stream.session import StreamSession
from pipeline.stream.streams import Streams


class StreamRecorder(Protocol):
    """Records all streams of a hub. Nothing that it does raises an error or waits for long."""

    @property
    def fault(self) -> str:
        """Why nothing is recorded now; empty while it is."""
        ...

    def begin(self, log_id: str) -> None:
        """Begin, before the streams of the log are restored."""
        ...

    def take(self, event: Event, outcome: Outcome, sessions: Mapping[str, StreamSession]) -> None:
        """Take in an event that was applied, and what followed; perhaps not for the first time."""
        ...

    def restored(self, sessions: Mapping[str, StreamSession]) -> None:
        """Take in that all streams are as they were at the last commit."""
        ...

    def write(self, now: float) -> None:
        """Write what is due; called each turn of the hub's loop."""
        ...

    def write_now(self, names: Collection[str]) -> None:
        """Write all of these streams."""
        ...

    def report(self) -> RecordingReport:
        """Return how the recording fares."""
        ...

    def close(self) -> None:
        """Write everything."""
        ...


class RecordedStreams(Streams):
    """Streams whose events a recorder is given."""

    def __init__(self, recorder: StreamRecorder, *args: Any) -> None:
        super().__init__(*args)
        self._recorder = recorder

    def apply(
        self, event: Event, arrived_at: float, *, to: Callable[[str], bool] | None = None
    ) -> Outcome:
        """Apply an event as `Streams.apply` does, and pass it on."""
        applied = to is None or any(map(to, self.concerned(event)))
        outcome = super().apply(event, arrived_at, to=to)
        if applied:
            self._recorder.take(event, outcome, self.sessions)
        return outcome


def streams_of(recorder: StreamRecorder | None, *args: Any) -> Streams:
    """Return streams made with ``args``, recorded where there is a recorder."""
    return Streams(*args) if recorder is None else RecordedStreams(recorder, *args)
