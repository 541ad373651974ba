"""The same samples give the same output: however they are cut, interrupted, and put in batches."""

import copy
import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.files.student import SHIPPED_STUDENT, load_student
from models.inference.beat_scorer import load_scorer
from models.inference.student import StudentScorer
from pipeline.constants import MEASURES
from pipeline.scoring.live_score import LiveScore
from pipeline.signal.quality import Reason
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segment import Segment
from pipeline.signal.segmenter import Segmenter
from pipeline.stream.embedded import score_beats
from pipeline.stream.stream import Stream
from replay.demo import NOISE_S
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from replay.headers import DEMO_RECORD
from replay.records import RecordSource
from tests.support import reference
from tests.support.running import CONFIG, TrivialScorer

ARRAYS = ("r_samples", "samples", "ready_samples", "rr_s", "windows", "spans_mv", "reasons")
BATCHES = (1, 8, 64, 256)
EVEN = np.full(4, 0.25, dtype=np.float32)


def demo(seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the bundled record around its noise and its lost electrode, and the flags."""
    source = RecordSource(DEMO_RECORD, start_s=NOISE_S[0] - 5, duration_s=seconds, speed=None)
    blocks = [block for block in source.blocks() if block is not None]
    flags = [np.zeros(b.samples.size, np.uint8) if b.flags is None else b.flags for b in blocks]
    return np.concatenate([block.samples for block in blocks]), np.concatenate(flags)


def fingerprint(segments: list[Segment]) -> str:
    """Return a hash of all beats and changes of state of several pushes."""
    output = hashlib.sha256()
    for name in ARRAYS:
        output.update(np.concatenate([getattr(one, name) for one in segments]).tobytes())
    output.update(repr([change for one in segments for change in one.quality]).encode())
    return output.hexdigest()


@pytest.mark.parametrize("chunk", [1, 7, 50, 250])
def test_length_of_the_chunks_does_not_matter(chunk: int) -> None:
    """R20: cut into equal chunks a record gives the beats that it gives as a whole.

    Chunks of random lengths, with gaps and at other rates: `test_segmenter`.
    """
    x, flags = demo(35)

    def cut(length: int) -> list[Segment]:
        segmenter = Segmenter(360)
        starts = range(0, x.size, length)
        parts = [
            segmenter.push(SampleBlock(a, x[a : a + length], flags=flags[a : a + length]))
            for a in starts
        ]
        return [*parts, segmenter.finish()]

    whole = cut(x.size)

    assert len(whole[0].samples) > 30
    assert {change.reason for change in whole[0].quality} > {Reason.NOISE, Reason.OK}
    assert fingerprint(cut(chunk)) == fingerprint(whole)


def test_segmenter_continues_from_a_copy_at_every_boundary() -> None:
    """R21: ten minutes, stopped and restored after every second: nothing else is remembered."""
    config = PatientConfig(ectopic=0.1, noise=0.02, leadoff=1.0, fs=250, seed=7)
    signal = SyntheticPatient(config).generate(600 * 250)
    x, flags = signal.samples, signal.flags
    rubbish = np.random.default_rng(0).normal(0, 5, 300).astype(np.float32)
    segmenter, straight = Segmenter(250), Segmenter(250)
    parts = []

    for a in range(0, x.size, 250):
        restored = copy.deepcopy(segmenter)
        segmenter.push(SampleBlock(a, rubbish))  # the original must not matter to the copy
        segmenter = restored
        parts.append(segmenter.push(SampleBlock(a, x[a : a + 250], flags=flags[a : a + 250])))

    whole = straight.push(SampleBlock(0, x, flags=flags))
    assert len(whole.samples) > 500
    assert fingerprint([*parts, segmenter.finish()]) == fingerprint([whole, straight.finish()])


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    fs=st.sampled_from([360.0, 250.0, 1000.0]),
    cuts=st.lists(st.floats(0, 20), min_size=1, max_size=6),
    late=st.booleans(),
)
def test_stream_continues_from_a_copy_anywhere(
    seed: int, fs: float, cuts: list[float], late: bool
) -> None:
    """R21: beats and alerts are the same, also with scores under way when it was stopped."""
    x, flags = reference.damaged(20, fs, seed)
    edges = [0, *sorted(round(cut * fs) for cut in cuts), x.size]
    scorer = TrivialScorer()

    def output(*, restore: bool) -> list[str]:
        stream = Stream("p", fs, CONFIG, lambda: 0.0)
        received: list[object] = []
        waiting = []

        def answer() -> None:
            for beat in waiting:
                score_beats(stream, [beat], scorer)
            waiting.clear()
            for one in stream.drain():
                received.extend([one.note, *one.alerts])

        for a, b in pairwise(edges):
            if restore:
                left_behind, stream = stream, copy.deepcopy(stream)
                left_behind.take(SampleBlock(a, x[:1000]))
            if not late:
                answer()
            taken = stream.take(SampleBlock(a, x[a:b], flags=flags[a:b]))
            received += taken.alerts
            waiting += taken.windows
        taken = stream.finish()
        received += taken.alerts
        waiting += taken.windows
        answer()
        received += stream.close()
        return sorted(map(repr, received))

    straight = output(restore=False)

    assert straight
    assert output(restore=True) == straight


def windows() -> np.ndarray:
    """Return 300 windows of real form: beats of the bundled record, scaled as they are scored."""
    x, flags = demo(50)
    segmenter = Segmenter(360)
    segment = segmenter.push(SampleBlock(0, x, flags=flags))
    good = segment.windows[segment.reasons == Reason.OK]
    return np.resize(good, (300, good.shape[1]))


def in_batches(rows: int, sizes: list[int]) -> list[slice]:
    """Return consecutive parts of so many rows, their sizes repeated as often as needed."""
    parts, first = [], 0
    while first < rows:
        size = sizes[len(parts) % len(sizes)]
        parts.append(slice(first, first + size))
        first += size
    return parts


@settings(max_examples=15)
@given(sizes=st.lists(st.sampled_from(BATCHES), min_size=1, max_size=12))
def test_batches_do_not_change_what_is_decided(sizes: list[int]) -> None:
    """R22: the student's scores are the same bit for bit, so every verdict is."""
    x = windows()
    scorer = StudentScorer(load_student(SHIPPED_STUDENT), device="cpu")
    alone, live, again = scorer.score(x), LiveScore(CONFIG), LiveScore(CONFIG)

    scores = np.concatenate([scorer.score(x[part]).scores for part in in_batches(len(x), sizes)])

    assert scores.tobytes() == alone.scores.tobytes()
    for window, one, other in zip(x, alone.scores.tolist(), scores.tolist(), strict=True):
        assert live.score(window, 0.8, one, EVEN) == again.score(window, 0.8, other, EVEN)


@settings(max_examples=15)
@given(sizes=st.lists(st.sampled_from(BATCHES), min_size=1, max_size=12))
def test_batches_do_not_change_the_class(sizes: list[int]) -> None:
    """R22: the shipped scorer's probabilities are the same, bit for bit."""
    x = windows()
    measures = np.random.default_rng(0).normal(0, 1, (len(x), MEASURES)).astype(np.float32)
    scorer = load_scorer(device="cpu")
    together = scorer.score(x, measures).probabilities

    parts = in_batches(len(x), sizes)
    named = [scorer.score(x[part], measures[part]).probabilities for part in parts]

    assert np.concatenate(named).tobytes() == together.tobytes()
    np.testing.assert_allclose(together.sum(axis=1), 1.0, atol=1e-5)
