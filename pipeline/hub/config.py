"""What a hub is told when it begins."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.alarms.settings import DEFAULTS, AlarmSettings
from pipeline.log.maintenance import EVERYTHING, Retention
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
    classify: bool = False
    """Whether anomalous beats are told with their class; then every scorer must name classes."""
    resume: bool = True
    """Whether the streams go on where the log ends; otherwise they begin anew."""
    alarms: AlarmSettings = DEFAULTS
    keep: Retention = EVERYTHING
    """How much of the log is kept."""
    version: str = ""
    commit: str = ""
    """Of the program, for its reports."""
    guard: Authenticator | None = None
    """Asks everybody for a key; without one, everybody on this machine is let in."""
