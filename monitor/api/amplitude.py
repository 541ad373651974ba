"""Say where the complexes of a record are higher or lower than a heart makes them."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from monitor.api.summary import AmplitudeNote
from monitor.inputs import FoundLeads, open_record
from monitor.log_format import report_line
from monitor.text import safe_text
from pipeline.errors import InputError

LOOKED_AT_S: Final = 60.0
"""So much of a record is looked at: a minute has tens of beats."""


def report_amplitudes(found: Iterable[FoundLeads]) -> None:
    """Write to stderr a line about each record of which the amplitude is none of a heart."""
    for one in found:
        try:
            source = open_record(
                replace(one, indices=one.indices[:1]), speed=None, duration_s=LOOKED_AT_S
            )
            note = AmplitudeNote(source.info.fs_hz)
            for block in source.blocks():
                if block is not None:
                    note.look_at(block)
        except InputError:  # whoever reads the record says so
            continue
        if note.text:
            name = safe_text(one.file.stem)
            report_line(f"monitor: {name}: {note.text}", logging.INFO)
