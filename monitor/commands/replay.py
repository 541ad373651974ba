"""`monitor replay`: records through the whole system."""

from collections.abc import Sequence
from pathlib import Path

from monitor.dashboard.options import DashboardOptions
from monitor.inputs import (
    MetricsOptions,
    default_log,
    find_leads,
    report_leads,
    report_skipped,
)
from monitor.run.recording import Recording
from monitor.run.reporters import choose_reporter
from monitor.run.session import run
from pipeline.transport.pseudonyms import Pseudonyms
from replay.files.stated import NOTHING, Stated


def replay_records(
    records: Sequence[str],
    *,
    speed: str,
    start_s: float,
    duration_s: float | None,
    loop: bool,
    lead: str | None,
    port: int,
    log: Path | None,
    false_alerts_per_hour: float | None,
    alarms: Path | None,
    metrics: MetricsOptions | None,
    pseudonyms: Path | None,
    recording: Recording | None,
    plain: bool,
    look: DashboardOptions,
    as_json: bool,
    stated: Stated = NOTHING,
    recursive: bool = False,
) -> None:
    """Replay records until they end; print the alerts and a summary, or show the dashboard.

    Args:
        records: as the command line names them.
        speed: ``max`` or a multiple of real time.
        start_s: second of each record to start at.
        duration_s: seconds of each record to play; None for all.
        loop: start each record again at its end.
        lead: by name or index, several with commas, or ``all``; None for the usual ones, at
            most three.
        port: of the alerts, 0 for one that the kernel chooses.
        log: the alert log; None for a new one.
        false_alerts_per_hour: of the live score; None for that of the calibration.
        alarms: file of alarm settings; None for the defaults.
        metrics: what the hub serves to Prometheus; None for nothing.
        pseudonyms: file of the key under which streams have pseudonyms; None for their own names.
        recording: of the whole signal; None for none.
        plain: print lines in place of the dashboard.
        look: of the dashboard.
        as_json: print JSON in place of the dashboard.
        stated: what files do not say themselves.
        recursive: look into the folders below a folder, too.

    Raises:
        InputError: a record cannot be used, or has no such lead.
        KeysError: the key of the pseudonyms cannot be used.
        ConfigError: the folder of the recording cannot be written.
        Refused: a process refused its configuration, with the reason on stderr.
        EndpointError: a port is in use.
        KeyboardInterrupt: a signal ended the run; the summary was shown.
    """
    # Refuse a bad record, or a key that others can read, before any process starts.
    found, skipped = find_leads(records, lead, stated, recursive=recursive)
    report_leads(found)
    report_skipped(skipped)
    if pseudonyms is not None:
        Pseudonyms.load(pseudonyms)
    if recording is not None:
        recording.check()
    arguments = [*records, "--speed", speed, "--start", str(start_s)]
    arguments += [] if duration_s is None else ["--duration", str(duration_s)]
    arguments += [] if lead is None else ["--lead", lead]
    arguments += ["--loop"] if loop else []
    arguments += ["--recursive"] if recursive else []
    arguments += stated.arguments()
    arguments += [] if pseudonyms is None else ["--pseudonyms", str(pseudonyms)]
    reporter, dashboard = choose_reporter(plain=plain, as_json=as_json, look=look)
    run(
        arguments,
        streams=len(found),
        port=port,
        log=log or default_log(),
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        metrics=metrics,
        recording=recording,
        reporter=reporter,
        dashboard=dashboard,
    )
