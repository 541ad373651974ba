"""A scorer process: takes batches of windows from the hub and answers with scores.

It holds no state: it can be killed at any moment, and the hub hands its batches out again. It
says that it is ready at start and every 250 ms, after the scorer has warmed up.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from pipeline.constants import WINDOW_SAMPLES
from pipeline.errors import WireError
from pipeline.messages import Ready, ScoreReply, ScoreRequest, decode, encode, windows_of
from pipeline.scoring import Scorer
from pipeline.transport import Dealer, wait

logger = logging.getLogger(__name__)

_READY_S: Final = 0.25


def run_worker(
    scorer: Scorer, *, model: str, device: str, work: str, stop: Callable[[], bool]
) -> None:
    """Serve the hub's ``work`` socket until ``stop`` says so; it is asked four times a second.

    Raises:
        ConfigError: the address is malformed or not on loopback.
    """
    scorer.score(np.zeros((1, WINDOW_SAMPLES), dtype=np.float32))
    ready = encode(Ready(model=model, device=device))
    due = 0.0
    with Dealer(connect=work) as hub:
        while not stop():
            now = time.monotonic()
            if now >= due:
                hub.send(ready)
                due = now + _READY_S
            wait([hub], due - now)
            for frame in hub.receive():
                try:
                    reply = answer(scorer, frame)
                except WireError as error:
                    logger.warning("request refused: %s", error)
                    continue
                hub.send(encode(reply))


def answer(scorer: Scorer, frame: bytes) -> ScoreReply:
    """Return the answer to one request frame; raise `WireError` if it is none."""
    request = decode(frame)
    if not isinstance(request, ScoreRequest):
        raise WireError(f"{type(request).__name__} instead of a score request")
    windows = windows_of(request)
    began = time.perf_counter()
    batch = scorer.score(windows)
    compute_ms = 1e3 * (time.perf_counter() - began)
    return ScoreReply(
        ids=request.ids,
        scores=batch.scores.astype("<f4").tobytes(),
        residuals=batch.residuals.astype("<f4").tobytes(),
        compute_ms=compute_ms,
    )
