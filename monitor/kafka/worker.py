"""`monitor worker`: analyses the streams of its share of a Kafka cluster's partitions.

It prints one ``ready`` event, an ``owned`` event whenever its partitions change, and runs until
SIGTERM, Ctrl-C, or the death of the process that started it.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path

import monitor
from models.measure.provenance import commit
from monitor.inputs import load_alarm_settings
from monitor.kafka.cluster import ClusterOptions, run_and_leave, served
from monitor.run.events import COMPILING, Owned, WorkerReady, announce
from monitor.run.limits import return_memory
from monitor.run.processes import interrupted_between_turns, stop_when_orphaned
from pipeline.alarms.settings import AlarmSettings
from pipeline.kafka.figures import ignore_figures
from pipeline.kafka.partition import Rules
from pipeline.kafka.worker import Worker
from pipeline.schema.messages import SCORING_VERSION
from pipeline.scoring.live_score import LiveScoreConfig
from pipeline.stream.snapshot import STATE_VERSION

logger = logging.getLogger(__name__)


def run_worker(
    options: ClusterOptions,
    *,
    false_alerts_per_hour: float | None,
    alarms: Path | None,
    weights: Path | None,
    snapshot_s: float,
    new_settings: bool,
    screens: bool,
    metrics: int | None,
    parent: int | None,
) -> None:
    """Run a worker until asked to stop.

    Args:
        options: name the cluster.
        false_alerts_per_hour: to accept, as of a hub.
        alarms: file of alarm settings; None for the defaults.
        weights: of the student; None for the one that ships.
        snapshot_s: between two snapshots of a partition.
        new_settings: whether to go on where other alarm settings or models were in force.
        screens: whether beats, status and signal are written for screens.
        metrics: port of the metrics; None for none.
        parent: process whose end ends this one; None for none.

    Raises:
        ConfigError: a setting is refused, topics are missing or were changed, others were in force,
            or the Kafka client is not installed.
        EndpointError: no broker answers, or this worker was replaced by another of its name.
        ArtifactError: weights are missing, altered, or made for something else.
    """
    from models.files.calibration import load_calibration
    from models.files.student import SHIPPED_STUDENT
    from models.inference.beat_scorer import load_scorer
    from pipeline.stream.warmup import compile_kernels, compiled_before

    return_memory()
    stop = stop_when_orphaned(parent)
    cluster, settings = options.cluster(), load_alarm_settings(alarms)
    live_score = load_calibration(false_alerts_per_hour=false_alerts_per_hour)
    if not compiled_before():
        announce(COMPILING)
    compile_kernels()
    scorer = load_scorer(weights.with_suffix(".json") if weights else SHIPPED_STUDENT)
    models = f"{scorer.name} {scorer.class_model}"
    rules = Rules(
        live_score=live_score, alarms=settings, version=rules_version(live_score, settings, models)
    )

    def on_owned(partitions: Sequence[int]) -> None:
        announce(Owned(list(partitions)))

    with interrupted_between_turns(stop) as stop, served(metrics) as server:

        def opened() -> Worker:
            return Worker(
                cluster,
                rules,
                scorer,
                stop,
                snapshot_s=snapshot_s,
                new_settings=new_settings,
                screens=screens,
                on_owned=on_owned,
                on_figures=partial(server.update_figures, None) if server else ignore_figures,
            )

        def run(worker: Worker) -> None:
            announce(WorkerReady(scorer.name, rules.version, server.url if server else None))
            worker.run()

        run_and_leave(opened, run, stop)
    logger.info("the worker has ended")


def rules_version(live_score: LiveScoreConfig, alarms: AlarmSettings, models: str) -> str:
    """Return a name of all that alerts follow from: that of the program, a point, of the rest.

    A worker that continues from a snapshot of another name does not take the alerts that it derives
    for those that the other one derived. Where only the rest differs it needs `--new-settings`.
    """
    program = f"{monitor.__version__} {STATE_VERSION} {SCORING_VERSION} {commit()}"
    # Each process has its own order of a set, and the name is that of all of them.
    settings = json.dumps([asdict(live_score), asdict(alarms)], sort_keys=True, default=sorted)
    return f"{_name(program)}.{_name(f'{models} {settings}')}"


def _name(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
