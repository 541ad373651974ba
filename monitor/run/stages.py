"""The stages as processes of their own: `monitor hub`, `monitor score`, `monitor source`.

Each announces itself with one ``ready`` event that holds what the others need to know, and runs
until SIGTERM, Ctrl-C, or the death of the process that started it.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from monitor.run.alarm_file import load_alarm_settings
from monitor.run.limits import return_memory, set_hub_limits
from monitor.run.processes import interrupted_between_turns, stop_when_orphaned
from pipeline.errors import ConfigError
from pipeline.scoring.protocols import Classifier
from pipeline.transport.addresses import check_address
from pipeline.transport.auth import Authenticator
from pipeline.transport.curve import ClientKeys
from pipeline.transport.keystore import KeyStore, default_folder
from replay.headers import find_records, load_header
from replay.leads import choose_lead
from replay.pacing import parse_speed
from replay.source import Source

logger = logging.getLogger(__name__)

Announce = Callable[..., None]
"""Takes an event's name and its facts."""


def installed_version() -> str:
    """Return this program's version; a checkout runs without being installed, and has none."""
    try:
        return version("ecg-monitor")
    except PackageNotFoundError:
        return "not installed"


def default_log() -> Path:
    """Return where the log of a run lies unless ``--log`` says otherwise: a file of its own."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path(state) / "ecg-monitor" / f"{stamp}-{os.getpid()}.sqlite"


def find_leads(records: Sequence[str], lead: str | None) -> list[tuple[Path, int]]:
    """Return header and lead of every record that the arguments name, all checked.

    Raises:
        InputError: a record cannot be used, or has no such lead.
    """
    return [
        (path, choose_lead(load_header(path), lead))
        for argument in records
        for path in find_records(argument)
    ]


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
    keep_days: float | None,
    keep_mb: float | None,
    metrics: int | None,
    parent: int | None,
    announce: Announce,
) -> None:
    """Run the hub until told to stop.

    Raises:
        ConfigError: an address is off loopback without a key, the port is out of range, the rate
            of false alerts is none that was calibrated, or the alarm settings or the limits of the
            log are refused.
        EndpointError: a port is in use.
        LogError: the log cannot be opened.
        ArtifactError: the calibration of the live score is missing or altered.
        GuardError: the keys do not guard the sockets, or no more.
    """
    from models.files.classifier_artifact import SHIPPED_CLASSIFIER
    from models.measure.provenance import commit
    from models.training.calibration import load_calibration
    from pipeline.hub.config import HubConfig
    from pipeline.hub.hub import Hub
    from pipeline.log.maintenance import Retention
    from pipeline.signal.warmup import compile_kernels, compiled_before

    return_memory()
    addresses = hub_addresses(bind, port, ingest, work, guarded=key is not None)
    settings, keep = load_alarm_settings(alarms), Retention(days=keep_days, mb=keep_mb)
    stop = stop_when_orphaned(parent)
    if not compiled_before():
        announce("note", text="compiling the signal kernels, once on this machine ...")
    compile_kernels()
    set_hub_limits()
    guard = hub_guard(key, keys)
    config = HubConfig(
        **addresses,
        log=log or default_log(),
        live_score=load_calibration(false_alerts_per_hour=false_alerts_per_hour),
        classify=SHIPPED_CLASSIFIER.exists(),
        alarms=settings,
        resume=resume,
        keep=keep,
        version=installed_version(),
        commit=commit(),
        auth=guard,
    )
    with (
        interrupted_between_turns(stop) as stop,
        guard or contextlib.nullcontext(),
        contextlib.ExitStack() as stack,
    ):
        server = None
        if metrics is not None:
            from monitor.metrics import MetricsServer

            server = stack.enter_context(MetricsServer(metrics))
        hub = stack.enter_context(
            Hub(config, time.monotonic, on_report=server.update if server else _no_report)
        )
        announce(
            "ready",
            endpoints=hub.endpoints,
            log=str(config.log),
            last_seq=hub.last_seq,
            classifies=config.classify,
            **({"metrics": server.url} if server else {}),
        )
        alerts = hub.endpoints["alerts"]
        logger.info("the hub serves %s, log %s up to alert %d", alerts, config.log, hub.last_seq)
        hub.run(stop)
    logger.info("the hub has ended")


def _no_report(report: object) -> None:
    """Nobody asked for metrics."""


def hub_addresses(
    bind: str, port: int, ingest: str | None, work: str | None, *, guarded: bool
) -> dict[str, str]:
    """Return where a hub's sockets listen, by name.

    The kernel chooses the ports for sources and scorers, whom a hub without keys starts together
    with itself or is told by hand; whoever comes from another machine has to know them.

    Raises:
        ConfigError: the port is out of range, or an address off loopback without a guard.
    """
    fixed = port and guarded
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
        check_address(address, keys=guarded)
    return addresses


def hub_guard(key: str | None, keys: Path | None) -> Authenticator | None:
    """Return who asks for keys at a hub that has the key of that name; None without one.

    Raises:
        KeysError: the key or the list of those allowed cannot be used.
    """
    if key is None:
        return None
    store = KeyStore(keys or default_folder())
    return Authenticator(store.pair(key), store)


def shipped_classifier() -> Classifier | None:
    """Return the classifier that ships; None in an installation without its weights.

    Raises:
        ArtifactError: the weights are altered, or made for something else.
    """
    from models.files.classifier_artifact import SHIPPED_CLASSIFIER
    from models.inference.classifier import ClassifierScorer

    return ClassifierScorer.load() if SHIPPED_CLASSIFIER.exists() else None


def run_scorer(
    *,
    work: str,
    weights: Path | None,
    keys: ClientKeys | None = None,
    parent: int | None,
    announce: Announce,
) -> None:
    """Run a scorer until told to stop; ``keys`` are shown to a hub that asks for them.

    Raises:
        EndpointError: the hub refuses these keys.
        ArtifactError: weights are missing, altered, or made for something else.
    """
    from models.files.student_artifact import SHIPPED_STUDENT
    from models.inference.student import StudentScorer
    from pipeline.clients.scorer import run_worker

    stop = stop_when_orphaned(parent)
    scorer = StudentScorer.load(weights.with_suffix(".json") if weights else SHIPPED_STUDENT)
    classifier = shipped_classifier()
    classifies = classifier is not None
    announce("ready", model=scorer.name, device=scorer.device, classifies=classifies)
    logger.info("scores for %s with %s on %s", work, scorer.name, scorer.device)
    run_worker(
        scorer,
        classifier,
        model=scorer.name,
        device=scorer.device,
        work=work,
        stop=stop,
        keys=keys,
    )


def run_source(
    records: Sequence[str],
    *,
    device: str | None,
    ingest: str,
    speed: str,
    start_s: float,
    duration_s: float | None,
    loop: bool,
    lead: str | None,
    resume: bool,
    keys: ClientKeys | None = None,
    parent: int | None,
    announce: Announce,
) -> None:
    """Send records or a device to the hub, to their end or until told to stop.

    ``keys`` are shown to a hub that asks for them.

    Raises:
        EndpointError: the hub refuses these keys, or a stream.
        InputError: a record cannot be used.
        DeviceError: the device is unknown, absent or busy.
    """
    from replay.player import play, stream_infos

    return_memory()
    stop = stop_when_orphaned(parent)
    sources: list[Source] = []
    if device is not None:
        from replay.devices import open_device

        sources.append(open_device(device))
    else:
        from replay.records import RecordSource

        for path, index in find_leads(records, lead):
            sources.append(
                RecordSource(
                    path,
                    lead=index,
                    speed=parse_speed(speed),
                    start_s=start_s,
                    duration_s=duration_s,
                    loop=loop,
                )
            )
    streams = [info.stream for info in stream_infos(sources)]
    announce("ready", streams=streams)
    for stream in streams:
        logger.info("the source sends to %s", ingest, extra={"stream": stream})
    play(sources, ingest, stop, resume=resume, keys=keys)
