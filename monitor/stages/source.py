"""`monitor source`: records or a device as a process of its own, which sends to a hub.

It prints one ``ready`` event with the names of its streams and runs until they end, SIGTERM,
Ctrl-C, or the death of the process that started it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from monitor.api.amplitude import report_amplitudes
from monitor.inputs import find_leads, open_record, report_leads, report_skipped
from monitor.log_format import report_line
from monitor.run.events import SourceReady, announce
from monitor.run.limits import return_memory
from monitor.run.processes import stop_when_orphaned
from pipeline.errors import LeadError
from pipeline.transport.curve import ClientKeys
from pipeline.transport.pseudonyms import Pseudonyms
from replay.files.stated import NOTHING, Stated
from replay.pacing import parse_speed
from replay.source import Source

logger = logging.getLogger(__name__)


def run_source(
    records: Sequence[str],
    *,
    devices: Sequence[str],
    ingest: str,
    speed: str,
    start_s: float,
    duration_s: float | None,
    loop: bool,
    chunk_ms: float,
    lead: str | None,
    resume: bool,
    keys: ClientKeys | None = None,
    pseudonyms: Path | None = None,
    parent: int | None,
    stated: Stated = NOTHING,
    recursive: bool = False,
) -> None:
    """Send records or devices to a hub, to their end or until told to stop.

    Args:
        records: as the command line names them; unused with devices.
        devices: addresses of devices, to send instead of records.
        ingest: the hub's address for sources.
        speed: ``max`` or a multiple of real time.
        start_s: second of each record to start at.
        duration_s: seconds of each record to send; None for all.
        loop: start each record again at its end.
        chunk_ms: time that a chunk of a record covers on the clock.
        lead: by name or index, several with commas, or ``all``; None for the usual ones, at most
            three.
        resume: continue where a source of the same streams stopped.
        keys: for a hub that asks for keys.
        pseudonyms: file of the key under which streams have pseudonyms; None for their own names.
        parent: process whose end ends this one; None for none.
        stated: what files do not say themselves.
        recursive: look into the folders below a folder, too.

    Raises:
        EndpointError: the hub refuses these keys, or a stream.
        KeysError: the key of the pseudonyms cannot be used.
        InputError: a record cannot be used, or there is no such lead.
        DeviceError: the device is unknown, absent or busy.
    """
    from replay.player import play, stream_infos

    return_memory()
    stop = stop_when_orphaned(parent)
    renamed = None if pseudonyms is None else Pseudonyms.load(pseudonyms)
    sources: list[Source] = []
    pace = parse_speed(speed)
    if devices:
        if renamed is not None:
            keep_names_out_of_logs()
        sources += _devices(devices, lead)
    else:
        found, skipped = find_leads(records, lead, stated, recursive=recursive)
        if parent is None:  # a parent has reported them
            report_leads(found)
            report_skipped(skipped)
        report_amplitudes(found)
        for one in found:
            sources.append(
                open_record(
                    one, speed=pace, start_s=start_s, duration_s=duration_s, loop=loop,
                    block_s=chunk_ms / 1e3,
                )
            )  # fmt: skip
    streams = [info.stream for info in stream_infos(sources, renamed)]
    announce(SourceReady(streams=streams))
    for stream in streams:
        logger.info("the source sends to %s", ingest, extra={"stream": stream})
    play(
        sources,
        ingest,
        stop,
        paced=bool(devices) or pace is not None,
        resume=resume,
        keys=keys,
        pseudonyms=renamed,
    )


def keep_names_out_of_logs() -> None:
    """Log nothing that devices say: it has names of streams and paths, and quotes what they sent.

    The hub gets it without those (`pipeline.transport.pseudonyms.without_quotations`).
    """
    logging.getLogger("replay.devices").setLevel(logging.CRITICAL)


def _devices(addresses: Sequence[str], lead: str | None) -> list[Source]:
    """Return the devices at the addresses, opened, each with the leads that are asked for."""
    from replay.devices.addresses import open_devices
    from replay.lead_sets.selected import SelectedLeads, usual_leads_text

    sources: list[Source] = []
    opened = open_devices(addresses)
    try:
        for one in opened:
            left_out = usual_leads_text(one.info.leads) if lead is None else ""
            if left_out:
                report_line(f"monitor: {one.info.stream}: {left_out}", logging.INFO)
            sources.append(one if lead is None and not left_out else SelectedLeads(one, lead))
    except LeadError:
        for one in opened:
            one.close()
        raise
    return sources
