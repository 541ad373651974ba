"""`monitor hub`: the hub as a process of its own.

It prints one ``ready`` event with its addresses and runs until SIGTERM, Ctrl-C, or the death of
the process that started it.
"""

import contextlib
import gc
import logging
import os
import subprocess
import time
from pathlib import Path
from typing import Final

import monitor
from monitor.inputs import MetricsOptions, default_log, load_alarm_settings
from monitor.run.addresses import inherited_listeners
from monitor.run.events import COMPILING, HubReady, announce
from monitor.run.limits import hub_bytes, return_memory, set_hub_limits
from monitor.run.processes import (
    SUPERVISOR,
    child_command,
    interrupted_between_turns,
    stop_when_orphaned,
)
from monitor.run.recording import Recording
from monitor.run.run_end import end_of_run
from pipeline.errors import ConfigError, InputError
from pipeline.transport.addresses import check_address
from pipeline.transport.auth import Authenticator
from pipeline.transport.keystore import KeyStore, default_folder

logger = logging.getLogger(__name__)

_COLLECTED_AFTER: Final = 20_000
"""So many objects must be new before the interpreter looks for cycles of garbage. A hub makes none,
and the look at a thousand streams takes a fifth of a second."""


def run_hub(
    *,
    port: int,
    bind: str,
    key: str | None,
    keys: Path | None,
    ingest: str | None,
    work: str | None,
    log: Path | None,
    false_alerts_per_hour: float | None,
    alarms: Path | None,
    resume: bool,
    max_streams: int,
    keep_days: float | None,
    keep_mb: float | None,
    metrics: MetricsOptions | None,
    recording: Recording | None,
    listeners: str | None,
    run_end: int | None,
    parent: int | None,
) -> None:
    """Run the hub until told to stop.

    Raises:
        ConfigError: an address is off loopback without a key, the port is out of range, the live
            score was not calibrated for this rate of false alerts, or the alarm settings, the
            limits of the log or what the hub inherits are refused.
        EndpointError: a port is in use.
        LogError: the log cannot be opened.
        ArtifactError: the calibration of the live score is missing or altered.
        AuthenticationError: the keys do not protect the sockets, or no longer do.
    """
    from models.files.calibration import load_calibration
    from models.measure.provenance import commit
    from pipeline.hub.config import HubConfig
    from pipeline.hub.hub import Hub
    from pipeline.log.maintenance import Retention

    return_memory()
    addresses = hub_addresses(bind, port, ingest, work, with_keys=key is not None)
    settings, keep = load_alarm_settings(alarms), Retention(days=keep_days, mb=keep_mb)
    inherited, ending = inherited_listeners(listeners), end_of_run(run_end)
    stop = stop_when_orphaned(parent)
    _prepare()
    set_hub_limits(hub_bytes(max_streams))
    authenticator = hub_authenticator(key, keys)
    config = HubConfig(
        **addresses,
        log=log or default_log(),
        live_score=load_calibration(false_alerts_per_hour=false_alerts_per_hour),
        alarms=settings,
        resume=resume,
        max_streams=max_streams,
        keep=keep,
        version=monitor.__version__,
        commit=commit(),
        listeners=inherited,
        ending=ending,
        recorder=None if recording is None else recording.recorder(write_edf_beside),
        supervisor=os.environ.pop(SUPERVISOR, ""),
        auth=authenticator,
    )
    with (
        interrupted_between_turns(stop) as stop,
        authenticator or contextlib.nullcontext(),
        contextlib.ExitStack() as stack,
    ):
        server = None
        if metrics is not None:
            from monitor.metrics import MetricsServer

            server = stack.enter_context(
                MetricsServer(metrics.port, inherited.get("metrics"), streams=metrics.streams)
            )
        hub = stack.enter_context(
            Hub(config, time.monotonic, on_report=server.update if server else _ignore_report)
        )
        announce(
            HubReady(
                endpoints=hub.endpoints,
                log=str(config.log),
                last_seq=hub.last_seq,
                metrics=server.url if server else None,
            )
        )
        alerts = hub.endpoints["alerts"]
        logger.info("the hub serves %s, log %s up to alert %d", alerts, config.log, hub.last_seq)
        hub.run(stop)
    logger.info("the hub has ended")


def _prepare() -> None:
    """Compile the kernels, and let garbage be looked for less often."""
    from pipeline.stream.warmup import compile_kernels, compiled_before

    if not compiled_before():
        announce(COMPILING)
    compile_kernels()
    gc.freeze()  # the modules stay
    gc.set_threshold(_COLLECTED_AFTER, *gc.get_threshold()[1:])


def hub_addresses(
    bind: str, port: int, ingest: str | None, work: str | None, *, with_keys: bool
) -> dict[str, str]:
    """Return the addresses on which a hub's sockets listen, by name.

    Without keys the kernel chooses the ports for sources and scorers: the program that starts these
    processes passes the addresses on. With keys they run on other machines, and must know the ports
    beforehand.

    Raises:
        ConfigError: the port is out of range, or an address is off loopback without keys.
    """
    fixed = port and with_keys
    highest = 65531 if fixed else 65533
    if not 0 <= port <= highest:
        raise ConfigError(f"port {port}: choose one from 1 to {highest}, or 0 for any")
    addresses = {
        name: f"tcp://{bind}:{port + above if port else 0}"
        for above, name in enumerate(("alerts", "replay", "control"))
    }
    addresses["ingest"] = ingest or f"tcp://{bind}:{port + 3 if fixed else 0}"
    addresses["work"] = work or f"tcp://{bind}:{port + 4 if fixed else 0}"
    for address in addresses.values():
        check_address(address, keys=with_keys)
    return addresses


def hub_authenticator(key: str | None, keys: Path | None) -> Authenticator | None:
    """Return the authenticator of a hub whose own key has the name ``key``; None without a key.

    Raises:
        KeysError: the key or the access list cannot be used.
    """
    if key is None:
        return None
    store = KeyStore(keys or default_folder())
    return Authenticator(store.pair(key), store)


def write_edf_beside(header: Path) -> None:
    """Write a segment of a recording as EDF+ in a process of its own: it needs memory and time.

    Raises:
        InputError: that was not possible; its stderr said why.
    """
    command, environment = child_command(["write-edf", str(header)])
    done = subprocess.run(
        ["nice", *command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    if done.returncode:
        raise InputError(f"{header.stem} is not written as EDF+")


def _ignore_report(report: object, statuses: object) -> None:
    """Discard a report: no metrics are served."""
