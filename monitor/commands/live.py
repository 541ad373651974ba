"""`monitor live`: a device through the whole system."""

from pathlib import Path

from monitor.inputs import MetricsOptions, default_log
from monitor.run.reporters import choose_reporter
from monitor.run.session import run
from pipeline.transport.pseudonyms import Pseudonyms
from replay.devices import only_device


def monitor_device(
    device: str | None,
    *,
    lead: str | None,
    port: int,
    log: Path | None,
    false_alerts_per_hour: float | None,
    alarms: Path | None,
    metrics: MetricsOptions | None,
    pseudonyms: Path | None,
    plain: bool,
    sound: bool,
    as_json: bool,
) -> None:
    """Monitor a device until Ctrl-C; print the alerts and a summary, or show the dashboard.

    Args:
        device: its address; None for the only one attached.
        lead: by name or index, several with commas, or ``all``; None for the usual
            ones, at most three.
        port: of the alerts, 0 for one that the kernel chooses.
        log: the alert log; None for a new one.
        false_alerts_per_hour: of the live score; None for that of the calibration.
        alarms: file of alarm settings; None for the defaults.
        metrics: what the hub serves to Prometheus; None for nothing.
        pseudonyms: file of the key under which the stream has a pseudonym; None for its own name.
        plain: print lines in place of the dashboard.
        sound: let the dashboard ring the terminal's bell.
        as_json: print JSON in place of the dashboard.

    Raises:
        DeviceError: no device is named, and not exactly one is attached.
        Refused: a process refused its configuration, with the reason on stderr.
        EndpointError: a port is in use.
        KeysError: the key of the pseudonyms cannot be used.
        KeyboardInterrupt: a signal ended the run; the summary was shown.
    """
    if pseudonyms is not None:  # a key that others can read is refused before any process starts
        Pseudonyms.load(pseudonyms)
    named = [] if pseudonyms is None else ["--pseudonyms", str(pseudonyms)]
    leads = [] if lead is None else ["--lead", lead]
    reporter, dashboard = choose_reporter(plain=plain, as_json=as_json, sound=sound)
    run(
        ["--device", device or only_device(), *leads, *named],
        port=port,
        log=log or default_log(),
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        metrics=metrics,
        reporter=reporter,
        dashboard=dashboard,
    )
