"""`monitor bridge lsl`: alarms as markers and RR intervals as streams of the Lab Streaming Layer.

* ``ecg-alarms``, type ``Markers``: four strings a sample, ``label`` (kind and state), ``stream``,
  ``priority`` and ``seq``. Many programs read the first one only.
* ``ecg-rr-<stream>``, type ``RR``: float32, in seconds, one sample a beat.

LSL has no acknowledgement, so this bridge keeps no position: it sends what comes from now on. It
has no encryption either: the streams are announced on this machine alone, or in the network if
asked.
"""

import os
import time
from datetime import datetime
from typing import Any, Final

from monitor.bridges.outlet import Outlet
from monitor.log_format import report_line
from pipeline.schema.public import Alert, BeatNote, Received, Unrecorded

_LABELS: Final = ("label", "stream", "priority", "seq")
_MOST_STREAMS: Final = 64
"""Each stream of LSL has threads and ports of its own."""

_RECENT_S: Final = 60.0
"""A clock that is further from ours than this says nothing of when something happened."""


class LslOutlet(Outlet):
    """Offers the streams to whoever listens."""

    topics = ("beat/",)
    target = "lsl"

    def __init__(self, *, network: bool = False) -> None:
        """Prepare; `__enter__` offers the markers.

        Args:
            network: whether to announce the streams beyond this machine.

        Raises:
            ModuleNotFoundError: the extra ``lsl`` is not installed.
        """
        import pylsl

        from replay.devices.lsl_stream import keep_quiet

        if not network and "LSLAPICFG" not in os.environ:
            pylsl.set_config_content("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n")
        else:
            keep_quiet()
        self._lsl = pylsl
        self._rr: dict[str, Any] = {}
        self._refused = False
        self._markers = self._new_outlet("ecg-alarms", "Markers", "string", _LABELS)

    def _new_outlet(
        self, name: str, kind: str, values: str, labels: tuple[str, ...], unit: str = "none"
    ) -> Any:
        info = self._lsl.StreamInfo(
            name, kind, len(labels), self._lsl.IRREGULAR_RATE, values, f"ecg-monitor-{name}"
        )
        info.set_channel_labels(list(labels))
        info.set_channel_units([unit] * len(labels))
        return self._lsl.StreamOutlet(info)

    def deliver(self, message: Received) -> None:
        """Send an alarm as a marker, or the RR interval of a beat."""
        if isinstance(message, Unrecorded):
            message = message.alert
        if isinstance(message, Alert):
            label = f"{message.kind} {message.state}"
            texts = [label, message.stream, message.priority, str(message.seq)]
            self._markers.push_sample(texts, self._clock(message.event_utc or message.utc))
        elif isinstance(message, BeatNote) and message.rr_s is not None:
            outlet = self._rr_outlet(message.stream)
            if outlet is not None:
                outlet.push_sample([message.rr_s], self._clock(message.event_utc))

    def _rr_outlet(self, stream: str) -> Any:
        """Return the outlet of a stream; None where there are too many."""
        if stream not in self._rr:
            if len(self._rr) >= _MOST_STREAMS:
                if not self._refused:
                    report_line(f"monitor: RR of the first {_MOST_STREAMS} streams only")
                self._refused = True
                return None
            name = f"ecg-rr-{stream}"
            self._rr[stream] = self._new_outlet(name, "RR", "float32", ("RR",), unit="seconds")
        return self._rr[stream]

    def _clock(self, utc: str) -> float:
        """Return a time as LSL has it; now where it is not known, or from another clock."""
        now = float(self._lsl.local_clock())
        try:
            ago_s = time.time() - datetime.fromisoformat(utc).timestamp()
        except (ValueError, OverflowError):
            return now
        return now - ago_s if abs(ago_s) < _RECENT_S else now

    def confirm(self) -> None:
        """Nothing is confirmed: LSL has no acknowledgement."""

    def close(self) -> None:
        """Withdraw the streams."""
        self._rr.clear()
        del self._markers
