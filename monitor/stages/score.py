"""`monitor score`: a scorer as a process of its own.

It prints one ``ready`` event and runs until SIGTERM, Ctrl-C, or the death of the process that
started it.
"""

import logging
from pathlib import Path

from monitor.run.events import ScorerReady, announce
from monitor.run.processes import stop_when_orphaned
from pipeline.transport.curve import ClientKeys

logger = logging.getLogger(__name__)


def run_scorer(
    *,
    work: str,
    weights: Path | None,
    keys: ClientKeys | None = None,
    parent: int | None,
) -> None:
    """Run a scorer until told to stop.

    Args:
        work: the hub's address for scorers.
        weights: of the student; None for the one that ships.
        keys: for a hub that asks for keys.
        parent: process whose end ends this one; None for none.

    Raises:
        EndpointError: the hub refuses these keys.
        ArtifactError: weights are missing, altered, or made for something else.
    """
    from models.files.student import SHIPPED_STUDENT
    from models.inference.beat_scorer import load_scorer
    from pipeline.clients.scorer import run_worker

    stop = stop_when_orphaned(parent)
    scorer = load_scorer(weights.with_suffix(".json") if weights else SHIPPED_STUDENT)
    announce(ScorerReady(model=scorer.name, device=scorer.device))
    logger.info("scores for %s with %s on %s", work, scorer.name, scorer.device)
    run_worker(
        scorer,
        model=scorer.name,
        device=scorer.device,
        work=work,
        stop=stop,
        keys=keys,
    )
