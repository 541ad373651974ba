"""Numbers that several modules, or a module and a trained model, must agree on.

Only shared numbers live here; a number used in one module stays in that module.
"""

from typing import Final

SAMPLING_RATE_HZ: Final = 360
"""The rate every stream is resampled to; the rate of the MIT-BIH records."""

WINDOW_BEFORE_R: Final = 140
"""Samples of a beat's window that lie before its R peak."""

WINDOW_AFTER_R: Final = 180
"""Samples of a beat's window from the R peak on, the R peak included."""

WINDOW_SAMPLES: Final = WINDOW_BEFORE_R + WINDOW_AFTER_R
"""Length of a beat's window, [R - 140, R + 180): what the student sees."""

BAND_PASS_HZ: Final = (3.0, 45.0)
"""Corners of the band-pass: first-order high-pass, second-order low-pass (Butterworth, causal)."""

SCHEMA: Final = 1
"""Version of everything a subscriber sees; fields may be added, never renamed."""

NOTICE: Final = "research use only, not a medical device"
"""Shown in every alert, in the README and in ``--help``."""

STEERING: Final = r"\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
"""Characters that can steer a terminal or turn a text around, as a class of a regular expression:
C0, DEL, C1, bidirectional and zero-width marks, line separators."""

DEFAULT_PORT: Final = 5570
"""Where alerts are published; the replay socket is one above."""

MAX_STREAMS: Final = 256
"""That a hub takes at a time, unless it is given another number."""

MAX_LEADS_PER_RECORD: Final = 64
"""More signals than this in one header is a mistake or an attack."""

MOST_LEADS: Final = 12
"""Leads of one patient that a stream carries: those of a standard ECG."""

SAMPLING_RATE_LIMITS_HZ: Final = (50.0, 10_000.0)
"""Rates outside are refused, at the file as on the wire."""

STREAM_NAME: Final = r"[A-Za-z0-9._-]{1,64}"
"""What a stream may be called."""

CLASSES: Final = ("N", "S", "V", "F")
"""Classes of ANSI/AAMI EC57: normal, supraventricular, ventricular, fusion of normal and V."""

MEASURES: Final = 105
"""What a scorer is given of a beat beside its window: `pipeline.scoring.beat_measures` names it."""
