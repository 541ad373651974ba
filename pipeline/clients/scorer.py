"""A scorer process: takes batches of beats from the hub, answers with their scores and classes.

It holds no state: it can be killed at any moment, and the hub hands its batches out again. Once its
models have warmed up it sends `Ready`, and again every 250 ms.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from pipeline.constants import MEASURES, WINDOW_SAMPLES
from pipeline.errors import WireError
from pipeline.schema.messages import (
    SCORING_VERSION,
    Ready,
    ScoreReply,
    ScoreRequest,
    decode,
    encode,
)
from pipeline.scoring.protocols import Scorer
from pipeline.transport.curve import ClientKeys
from pipeline.transport.sockets import Dealer, wait

logger = logging.getLogger(__name__)

_READY_S: Final = 0.25

_UNDER_WAY_S: Final = 0.1
"""Of work, as far as possible, lies here: a busy hub answers no more often."""

_CREDIT: Final = (2, 8)
"""Batches under way to a scorer, by its speed."""

_BATCH: Final = 64
"""Beats in a batch of a busy hub."""

PATIENCE_S: Final = 5.0
"""After this long without a hub at the beginning, a warning is logged."""


def run_worker(
    scorer: Scorer,
    *,
    model: str,
    device: str,
    work: str,
    stop: Callable[[], bool],
    keys: ClientKeys | None = None,
) -> None:
    """Serve the hub's ``work`` socket until ``stop``, called four times a second, returns true.

    Raises:
        ConfigError: the address is malformed, or off loopback without keys.
        EndpointError: the hub refuses these keys.
    """
    scorer.score(
        np.zeros((1, WINDOW_SAMPLES), dtype=np.float32), np.zeros((1, MEASURES), dtype=np.float32)
    )
    credit, due = _CREDIT[0], 0.0
    patient_until: float | None = time.monotonic() + PATIENCE_S
    hub = Dealer(connect=work, keys=keys)
    try:
        while not stop():
            now = time.monotonic()
            if now >= due:
                due = now + _READY_S
                ready = Ready(model=model, device=device, credit=credit, version=SCORING_VERSION)
                if hub.send(encode(ready)):
                    patient_until = None
                else:
                    # No hub. An old socket tries to connect ever more rarely; a new one at once.
                    hub.close(linger_ms=0)
                    hub = Dealer(connect=work, keys=keys)
            if patient_until is not None and now > patient_until:
                patient_until = None
                logger.warning(
                    "nothing answers at %s yet, still waiting; does a hub hand out work there?",
                    work,
                )
            wait([hub], due - now)
            for frame in hub.receive():
                try:
                    reply = answer(scorer, frame)
                except WireError as error:
                    logger.warning("request refused: %s", error)
                    continue
                credit = credit_for(len(reply.ids), reply.compute_ms / 1e3)
                hub.send(encode(reply))
    finally:
        hub.close()


def credit_for(beats: int, seconds: float) -> int:
    """Return how many batches a scorer takes at a time that needed ``seconds`` for ``beats``."""
    least, most = _CREDIT
    batch_s = max(seconds / beats * _BATCH, 1e-6)
    return max(least, min(most, int(_UNDER_WAY_S / batch_s)))


def answer(scorer: Scorer, frame: bytes) -> ScoreReply:
    """Return the answer to one request frame; raise `WireError` if it is none for a scorer."""
    request = decode(frame)
    if not isinstance(request, ScoreRequest):
        raise WireError(f"{type(request).__name__} is no request that a scorer answers")
    began = time.perf_counter()
    second = request.second if len(request.second) else None
    batch = scorer.score(request.windows, request.measures, second)
    return ScoreReply(
        ids=request.ids,
        scores=batch.scores.astype(np.float32, copy=False),
        residuals=batch.residuals.astype(np.float32, copy=False),
        probabilities=batch.probabilities.astype(np.float32, copy=False),
        compute_ms=1e3 * (time.perf_counter() - began),
    )
