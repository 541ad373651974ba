"""The JSON lines that a process of a run prints on stdout for the process that started it.

Any number of notes, then one ``ready`` event with what the others need to know.
"""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the user while the process starts."""

    text: str
    patience_s: float | None = None
    """For how long the process may be silent now; None for what is left of the usual time."""


COMPILING: Final = Note(
    "compiling the signal kernels, once on this machine: it can take minutes ...", 3_600.0
)
"""How long that takes depends on the processor, and on what else it does."""


@dataclass(frozen=True, slots=True)
class HubReady:
    """The hub listens."""

    endpoints: dict[str, str]
    """Address of each socket by name, as `pipeline.hub.hub.Hub.endpoints`."""
    log: str
    last_seq: int
    """Number of the newest alert in the log."""
    metrics: str | None = None
    """URL of the metrics; None where none are served."""


@dataclass(frozen=True, slots=True)
class ScorerReady:
    """The scorer has loaded its models."""

    model: str
    device: str


@dataclass(frozen=True, slots=True)
class SourceReady:
    """The source has opened its records or its device."""

    streams: list[str]


@dataclass(frozen=True, slots=True)
class GatewayReady:
    """A gateway listens, and its brokers answer."""

    ingest: str
    """Address for sources."""
    partitions: int
    metrics: str | None = None
    """URL of the metrics; None where none are served."""


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker has loaded its models and joins its group."""

    model: str
    version: str
    """Of what its alerts follow from."""
    metrics: str | None = None
    """URL of the metrics; None where none are served."""


@dataclass(frozen=True, slots=True)
class BridgeReady:
    """A bridge listens like a hub."""

    endpoints: dict[str, str]
    log: str
    last_seq: int
    metrics: str | None = None
    """URL of the metrics; None where none are served."""


@dataclass(frozen=True, slots=True)
class OutletReady:
    """A bridge to another system listens to its monitor."""

    endpoint: str
    """Address of the monitor's alerts."""
    target: str
    position: str | None = None
    """The file that keeps the position; None where none is kept."""


@dataclass(frozen=True, slots=True)
class WallReady:
    """A wall serves browsers."""

    url: str
    endpoint: str
    """Address of the monitor's alerts."""


@dataclass(frozen=True, slots=True)
class Owned:
    """The partitions that a worker has from now on."""

    partitions: list[int]


Ready = (
    HubReady
    | ScorerReady
    | SourceReady
    | GatewayReady
    | WorkerReady
    | BridgeReady
    | OutletReady
    | WallReady
)


def announce(event: Note | Owned | Ready) -> None:
    """Print one event; fields that are None are left out."""
    name = {Note: "note", Owned: "owned"}.get(type(event), "ready")
    facts = {field: value for field, value in asdict(event).items() if value is not None}
    sys.stdout.write(json.dumps({"event": name, **facts}) + "\n")
    sys.stdout.flush()
