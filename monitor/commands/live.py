"""`monitor live`: a device through the whole system."""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from monitor.dashboard.options import DashboardOptions
from monitor.inputs import MetricsOptions, default_log
from monitor.log_format import report_line
from monitor.run.recording import Recording
from monitor.run.reporters import choose_reporter
from monitor.run.session import run
from monitor.text import safe_text
from pipeline.transport.pseudonyms import Pseudonyms
from replay.devices.addresses import openers_of
from replay.devices.discovery import found_devices, only_device


def monitor_devices(
    devices: Sequence[str],
    *,
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
) -> None:
    """Monitor devices until Ctrl-C; print the alerts and a summary, or show the dashboard.

    Args:
        devices: their addresses; none, or an empty one, for the only one that is there.
        lead: by name or index, several with commas, or ``all``; None for the usual
            ones, at most three.
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

    Raises:
        DeviceError: no device is named, and not exactly one is there; or one is of no known kind.
        ConfigError: an address is malformed; the folder of the recording cannot be written.
        Refused: a process refused its configuration, with the reason on stderr.
        EndpointError: a port is in use.
        KeysError: the key of the pseudonyms cannot be used.
        KeyboardInterrupt: a signal ended the run; the summary was shown.
    """
    addresses = chosen_devices(devices, named_on_stderr=pseudonyms is None)
    openers_of(addresses)  # refuses a malformed one before any process starts
    if pseudonyms is not None:  # a key that others can read is refused before any process starts
        Pseudonyms.load(pseudonyms)
    if recording is not None:
        recording.check()
    named = [] if pseudonyms is None else ["--pseudonyms", str(pseudonyms)]
    leads = [] if lead is None else ["--lead", lead]
    reporter, dashboard = choose_reporter(plain=plain, as_json=as_json, look=look)
    named += [word for one in addresses for word in ("--device", one)]
    run(
        [*leads, *named],
        streams=len(addresses),
        port=port,
        log=log or default_log(),
        false_alerts_per_hour=false_alerts_per_hour,
        alarms=alarms,
        metrics=metrics,
        recording=recording,
        reporter=reporter,
        dashboard=dashboard,
    )


def chosen_devices(named: Sequence[str], *, named_on_stderr: bool = True) -> list[str]:
    """Return the addresses that are ``named``, or that of the only device that is there.

    Of the only one a line on stderr says which it is, unless ``named_on_stderr`` is False. Where
    there are several, each is listed there with the command that starts it.

    Raises:
        DeviceError: none is named, and not exactly one is there.
    """
    if any(named):
        return [one for one in named if one]
    found = found_devices()
    if len(found) > 1:
        for one in found:
            command = safe_text(f"monitor live --device {shlex.quote(one.address)}", 200)
            report_line(f"{command}  # {safe_text(one.what)}")
    address = only_device(found)
    if named_on_stderr:
        what = safe_text(f"{address} ({found[0].what})", 200)
        report_line(f"monitor: takes the only device that is there: {what}", logging.INFO)
    return [address]
