"""A scorer process: ready, answers by the row, survives rubbish, ends when asked to."""

import numpy as np
import pytest

from pipeline.clients.scorer import answer, run_worker
from pipeline.constants import RR_FEATURES
from pipeline.errors import ConfigError, WireError
from pipeline.schema.messages import (
    ClassReply,
    ClassRequest,
    Ready,
    ScoreReply,
    ScoreRequest,
    decode,
    encode,
)
from pipeline.transport.sockets import Router, wait
from tests.support.running import TrivialClassifier, TrivialScorer, thread, until

WINDOWS = np.random.default_rng(0).uniform(-1, 1, (3, 320)).astype("<f4")
CONTEXTS = np.random.default_rng(1).uniform(-1, 1, (3, RR_FEATURES)).astype("<f4")
REQUEST = ScoreRequest(ids=[("s", 0, n) for n in range(3)], windows=WINDOWS)
CLASS_REQUEST = ClassRequest(ids=REQUEST.ids, windows=WINDOWS, rr_context=CONTEXTS)


def test_answer_has_a_row_for_every_id() -> None:
    """Scores and residuals come back in the order of the ids."""
    reply = answer(TrivialScorer(), None, encode(REQUEST))
    assert isinstance(reply, ScoreReply)
    expected = TrivialScorer().score(WINDOWS)

    assert reply.ids == REQUEST.ids
    np.testing.assert_array_equal(reply.scores, expected.scores)
    np.testing.assert_array_equal(reply.residuals, expected.residuals)
    assert reply.compute_ms >= 0


def test_class_request_is_answered_by_the_classifier() -> None:
    """Probabilities come back in the order of the ids, made of window and RR context."""
    reply = answer(TrivialScorer(), TrivialClassifier(), encode(CLASS_REQUEST))
    assert isinstance(reply, ClassReply)

    assert reply.ids == REQUEST.ids
    expected = TrivialClassifier().classify(WINDOWS, CONTEXTS)
    np.testing.assert_array_equal(reply.probabilities, expected)


def test_missing_hub_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, with its address: the scorer goes on waiting."""
    monkeypatch.setattr("pipeline.clients.scorer.PATIENCE_S", 0.0)
    with Router("tcp://127.0.0.1:0") as gone:
        work = gone.endpoint
    asked = iter(range(4))
    run_worker(
        TrivialScorer(), None, model="m", device="cpu", work=work, stop=lambda: next(asked) == 3
    )
    (record,) = caplog.records
    assert work in record.getMessage()


def test_scorer_without_a_classifier_refuses_class_requests() -> None:
    """It does not invent a class."""
    with pytest.raises(WireError, match="ClassRequest"):
        answer(TrivialScorer(), None, encode(CLASS_REQUEST))


@pytest.mark.parametrize(
    "frame", [b"", b"rubbish", encode(Ready(model="m", device="d")), encode(REQUEST)[:-4]]
)
def test_what_is_no_request_is_refused(frame: bytes) -> None:
    """A frame that is no score request is a WireError."""
    with pytest.raises(WireError):
        answer(TrivialScorer(), None, frame)


def test_worker_reports_that_it_is_ready_and_answers_after_rubbish() -> None:
    """It warms up first, says again and again that it is ready, and survives a bad frame."""
    scorer, classifier = TrivialScorer(), TrivialClassifier()
    with Router("tcp://127.0.0.1:0") as hub:

        def work(stop: object) -> None:
            end = hub.endpoint
            run_worker(scorer, classifier, model="m", device="cpu", work=end, stop=stop)  # type: ignore[arg-type]

        with thread(work):
            readies: list[Ready] = []
            replies: list[ScoreReply] = []

            def done() -> bool:
                wait([hub], 0.1)
                for peer, frame in hub.receive():
                    message = decode(frame)
                    if isinstance(message, Ready):
                        assert scorer.windows >= 1
                        assert classifier.windows >= 1
                        if not readies:
                            hub.send(peer, b"rubbish")
                            hub.send(peer, encode(REQUEST))
                        readies.append(message)
                    elif isinstance(message, ScoreReply):
                        replies.append(message)
                return len(readies) >= 3 and bool(replies)

            until(done)
    assert [reply.ids for reply in replies] == [REQUEST.ids]
    assert (readies[0].model, readies[0].device, readies[0].classifies) == ("m", "cpu", True)


def test_worker_refuses_an_address_off_loopback() -> None:
    """Windows of patients leave the machine only with keys."""
    with pytest.raises(ConfigError):
        run_worker(
            TrivialScorer(),
            None,
            model="m",
            device="cpu",
            work="tcp://10.1.1.1:1",
            stop=lambda: True,
        )
