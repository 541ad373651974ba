"""The settings of a hub."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.constants import MAX_STREAMS
from pipeline.hub.recording import StreamRecorder
from pipeline.log.maintenance import KEEP_ALL, Retention
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.transport.auth import Authenticator


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConfig:
    """Where the hub listens and writes."""

    alerts: str = "tcp://127.0.0.1:0"
    replay: str = "tcp://127.0.0.1:0"
    control: str = "tcp://127.0.0.1:0"
    ingest: str = "tcp://127.0.0.1:0"
    work: str = "tcp://127.0.0.1:0"
    log: Path
    live_score: LiveScoreConfig
    resume: bool = True
    """Whether streams continue where the log ends; otherwise they start over."""
    alarms: AlarmSettings = DEFAULTS
    max_streams: int = MAX_STREAMS
    """Streams at a time; each takes memory (`monitor.run.limits`)."""
    keep: Retention = KEEP_ALL
    """How much of the log is kept."""
    version: str = ""
    commit: str = ""
    """Both of the program, for its reports."""
    listeners: Mapping[str, int] = field(default_factory=dict)
    """Descriptors of sockets that listen at these addresses already, by name."""
    ending: Callable[[], bool] = lambda: False
    """Whether the run that this hub belongs to stops its sources now: their silence is no alarm."""
    supervisor: str = ""
    """The secret by which the supervisor of this hub is known; empty where there is none."""
    recorder: StreamRecorder | None = None
    """Records the whole signal; None where only alerts are kept."""
    auth: Authenticator | None = None
    """Checks the key of every client; without it, every program on this machine may connect."""
