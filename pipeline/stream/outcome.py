"""What follows from an event of the hub's streams, for whoever applied it. Pure in memory."""

from dataclasses import dataclass, field

from pipeline.schema.public import Alert, Trend
from pipeline.scoring.beat import Beat
from pipeline.signal.samples import SampleBlock
from pipeline.stream.beat_report import BeatReport
from pipeline.stream.session import PendingAlert, StreamSession


@dataclass(slots=True)
class Outcome:
    """What follows from an event."""

    windows: list[Beat] = field(default_factory=list)
    """Beats that want a score."""
    alerts: list[PendingAlert] = field(default_factory=list)
    """Alerts on their way to the log."""
    reports: list[BeatReport] = field(default_factory=list)
    """Beats that can be published."""
    trends: list[Trend] = field(default_factory=list)
    """Minutes of which all is known."""
    ended: bool = False
    """Whether a stream is over and its last beat is reported."""
    acknowledged: list[Alert] = field(default_factory=list)
    """Those of the alerts that confirm an acknowledgement."""
    removed: StreamSession | None = None
    """A stream that was removed."""
    blocks: list[SampleBlock] = field(default_factory=list)
    """The samples that were analysed, in order."""

    def add(self, alerts: list[Alert], arrived_at: float, beat: Beat | None = None) -> None:
        """Add alerts; one that begins because of ``beat`` has the latency of the beat."""
        self.alerts += [
            PendingAlert(alert, beat if alert.state == "on" else None, arrived_at)
            for alert in alerts
        ]
