"""What gateways, workers and bridges count, for Prometheus: the same names for the same things."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

EVERY_S: Final = 1.0
"""So often figures are made."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a process at one time; a counter, whose name ends in ``_total``, only grows."""

    name: str
    value: float


Figures = Sequence[Figure]

OnFigures = Callable[[Figures], None]
"""Takes the figures of a process, now and then."""

TEXTS: Final = {
    "messages_total": "Messages: of a gateway written, of a worker or a bridge read.",
    "message_bytes_total": "Bytes of these messages.",
    "lag_messages": "Messages that are there and were not read yet; of a gateway, not written yet.",
    "partitions": "Partitions of a worker now; of a gateway or a bridge, of the topics.",
    "streams": "Streams of a gateway or a worker now.",
    "beats_total": "Beats that a worker has scored.",
    "alerts_total": "Alerts that a worker has written, repeats included, or a bridge has recorded.",
    "skipped_total": "Messages, or items in them, that were none of ours or were refused.",
    "repeats_total": "Messages of its partitions that a worker had taken before.",
    "snapshot_age_s": "Age of the oldest of the newest snapshots of a worker's partitions.",
    "time_s": "Unix time of these figures.",
}
"""By name, with the HELP text of each."""


def ignore_figures(figures: Figures) -> None:
    """Discard figures: nobody asked for them."""
