"""A scorer process: ready, answers by the row, survives rubbish, ends when asked to."""

import numpy as np
import pytest

from pipeline.clients.scorer import answer, run_worker
from pipeline.constants import MEASURES
from pipeline.errors import ConfigError, WireError
from pipeline.schema.messages import (
    SCORING_VERSION,
    Ready,
    ScoreReply,
    ScoreRequest,
    decode,
    encode,
)
from pipeline.transport.sockets import Router, wait
from tests.support.running import TrivialScorer, thread, until

WINDOWS = np.random.default_rng(0).uniform(-1, 1, (3, 320)).astype("<f4")
MEASURED = np.random.default_rng(1).uniform(-1, 1, (3, MEASURES)).astype("<f4")
REQUEST = ScoreRequest(ids=[("s", 0, n) for n in range(3)], windows=WINDOWS, measures=MEASURED)


def test_answer_has_a_row_for_every_id() -> None:
    """Scores, residuals and classes come back in the order of the ids."""
    reply = answer(TrivialScorer(), encode(REQUEST))
    expected = TrivialScorer().score(WINDOWS, MEASURED)

    assert reply.ids == REQUEST.ids
    np.testing.assert_array_equal(reply.scores, expected.scores)
    np.testing.assert_array_equal(reply.residuals, expected.residuals)
    np.testing.assert_array_equal(reply.probabilities, expected.probabilities)
    assert reply.compute_ms >= 0


def test_second_lead_reaches_the_scorer() -> None:
    """A beat of two leads among others is named by both."""
    second = np.zeros_like(MEASURED)
    second[1] = 0.5
    request = ScoreRequest(ids=REQUEST.ids, windows=WINDOWS, measures=MEASURED, second=second)
    found = answer(TrivialScorer(), encode(request)).probabilities
    one_lead = answer(TrivialScorer(), encode(REQUEST)).probabilities

    np.testing.assert_array_equal(found[[0, 2]], one_lead[[0, 2]])
    assert (found[1] != one_lead[1]).any()


def test_missing_hub_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with its address: the scorer goes on waiting."""
    monkeypatch.setattr("pipeline.clients.scorer.PATIENCE_S", 0.0)
    with Router("tcp://127.0.0.1:0") as gone:
        work = gone.endpoint
    asked = iter(range(4))
    run_worker(TrivialScorer(), model="m", device="cpu", work=work, stop=lambda: next(asked) == 3)
    (record,) = caplog.records
    assert work in record.getMessage()


@pytest.mark.parametrize(
    "frame", [b"", b"rubbish", encode(Ready(model="m", device="d")), encode(REQUEST)[:-4]]
)
def test_what_is_no_request_is_refused(frame: bytes) -> None:
    """A frame that is no score request is a WireError."""
    with pytest.raises(WireError):
        answer(TrivialScorer(), frame)


def test_worker_reports_that_it_is_ready_and_answers_after_rubbish() -> None:
    """It warms up first, says again and again that it is ready, and survives a bad frame."""
    scorer = TrivialScorer()
    with Router("tcp://127.0.0.1:0") as hub:

        def work(stop: object) -> None:
            end = hub.endpoint
            run_worker(scorer, model="m", device="cpu", work=end, stop=stop)  # type: ignore[arg-type]

        with thread(work):
            readies: list[Ready] = []
            replies: list[ScoreReply] = []

            def done() -> bool:
                wait([hub], 0.1)
                for peer, frame in hub.receive():
                    message = decode(frame)
                    if isinstance(message, Ready):
                        assert scorer.windows >= 1
                        if not readies:
                            hub.send(peer, b"rubbish")
                            hub.send(peer, encode(REQUEST))
                        readies.append(message)
                    elif isinstance(message, ScoreReply):
                        replies.append(message)
                return len(readies) >= 3 and bool(replies)

            until(done)
    assert [reply.ids for reply in replies] == [REQUEST.ids]
    assert readies[0] == Ready(model="m", device="cpu", version=SCORING_VERSION)


def test_worker_refuses_an_address_off_loopback() -> None:
    """Windows of patients leave the machine only with keys."""
    with pytest.raises(ConfigError):
        run_worker(
            TrivialScorer(),
            model="m",
            device="cpu",
            work="tcp://10.1.1.1:1",
            stop=lambda: True,
        )
