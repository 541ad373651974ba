"""T6: any sequence of deliveries, repeats, losses, crashes and restarts ends in the same alerts.

The model is a source that sends again what is not known to be in the log, a scorer that answers in
any order, and a hub without its sockets; the oracle is one process that saw the signal as it is.
"""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.alarms.settings import DEFAULTS
from pipeline.errors import LogError, MissingChunkError
from pipeline.hub.journal import Journal
from pipeline.log.links import read_published
from pipeline.log.store import AlertLog, Commit
from pipeline.schema.messages import Chunk, End, ScoreReply
from pipeline.schema.public import Alert
from pipeline.scoring.beat import Beat
from pipeline.signal.samples import SampleBlock
from pipeline.stream.embedded import EmbeddedRunner
from pipeline.stream.streams import Streams
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.held_disk import HeldDisk
from tests.support.running import CONFIG, TrivialScorer, comparable

SIGNAL = (
    SyntheticPatient(PatientConfig(ectopic=0.15, pause=0.03, seed=2)).generate(60 * 360).samples
)
CHUNK = 300


def oracle() -> list[tuple[object, ...]]:
    """Return the alerts of a run without any fault."""
    runner = EmbeddedRunner("s", 360.0, TrivialScorer(), CONFIG)
    return sorted(
        (comparable(a) for o in runner.run([SampleBlock(0, SIGNAL)]) for a in o.alerts), key=repr
    )


EXPECTED = oracle()


def scores_of(beats: list[Beat]) -> ScoreReply:
    """Return the answer of a scorer."""
    windows, measures = [beat.window for beat in beats], [beat.measures for beat in beats]
    batch = TrivialScorer().score(np.stack(windows), np.stack(measures))
    return ScoreReply(
        ids=[beat.id for beat in beats],
        scores=batch.scores,
        residuals=batch.residuals,
        probabilities=batch.probabilities,
        compute_ms=0.0,
    )


class Outbox(RuleBasedStateMachine):
    """A source, a hub and a scorer between which anything may be lost, repeated or late."""

    @initialize()
    def begin(self) -> None:
        """Begin with an empty log."""
        self.folder = tempfile.TemporaryDirectory()
        cuts = range(0, SIGNAL.size, CHUNK)
        self.messages = [
            Chunk(
                stream="s",
                first_sample=a,
                fs_hz=360.0,
                samples=SIGNAL[a : a + CHUNK],
                session="ab",
                number=n,
            )
            for n, a in enumerate(cuts, 1)
        ]
        self.messages.append(
            End(stream="s", next_sample=SIGNAL.size, session="ab", number=len(self.messages) + 1)
        )
        self.written = 0
        self.logged: list[Alert] = []
        self.open()

    def open(self) -> None:
        """Start the hub on what the log holds."""
        self.log = AlertLog(Path(self.folder.name) / "log")
        self.streams = Streams(CONFIG, DEFAULTS, lambda: 0.0)
        self.journal = Journal(self.log, self.streams)
        assert self.journal.restore(0.0) == []
        self.pending: list[Alert] = []
        session = self.streams.sessions.get("s")
        waiting = [] if session is None else session.stream.beats.waiting
        self.unscored = list(waiting)

    def let(self, event: object) -> None:
        """Let an event happen as the hub does."""
        self.journal.add(event, 0.0)
        outcome = self.streams.apply(event, 0.0)
        self.pending += [one.alert for one in outcome.alerts]
        self.unscored += outcome.windows

    def deliver(self, number: int) -> None:
        """Let a message of the source arrive."""
        message = self.messages[number - 1]
        try:
            for event in self.streams.admit(message, 0.0, lambda name: []):
                self.let(event)
        except MissingChunkError:
            assert number > self.written + 1

    def arrived(self) -> int:
        """Return the newest number that the hub took."""
        session = self.streams.sessions.get("s")
        return 0 if session is None else session.state.number

    @precondition(lambda self: self.arrived() < len(self.messages))
    @rule(n=st.integers(1, 20))
    def deliver_next(self, n: int) -> None:
        """What comes next arrives."""
        for number in range(self.arrived() + 1, min(self.arrived() + n, len(self.messages)) + 1):
            self.deliver(number)

    @rule(back=st.integers(0, 30), ahead=st.integers(0, 5))
    def deliver_again_or_ahead(self, back: int, ahead: int) -> None:
        """Something arrives again, or before what precedes it; the same message, any place."""
        if self.arrived():
            self.deliver(max(1, self.arrived() - back))
            self.deliver(min(self.arrived() + 1 + ahead, len(self.messages)))

    @precondition(lambda self: self.unscored)
    @rule(data=st.data(), n=st.integers(1, 12))
    def score(self, data: st.DataObject, n: int) -> None:
        """Some windows are scored, in any order."""
        picked = data.draw(st.permutations(range(len(self.unscored))))[:n]
        self.let(scores_of([self.unscored[i] for i in picked]))
        self.unscored = [one for i, one in enumerate(self.unscored) if i not in set(picked)]

    @rule(seconds=st.sampled_from([0.0, 100.0]))
    def commit(self, seconds: float) -> None:
        """The log takes all there is; after a long time, the state of the streams, too."""
        self.logged += self.journal.commit(Commit(alerts=self.pending), seconds)
        self.pending = []
        self.written = self.arrived()

    @rule(fails=st.booleans(), n=st.integers(0, 12), seconds=st.sampled_from([0.0, 100.0]))
    def commit_aside(self, fails: bool, n: int, seconds: float) -> None:
        """The disk takes its time, or fails: what is delivered meanwhile is in the next commit."""
        arrived, begun = self.arrived(), list(self.pending)
        disk = HeldDisk(self.log)
        disk.hold()
        self.journal.begin(Commit(alerts=begun), seconds, lambda: None)
        if arrived < len(self.messages):
            self.deliver_next(n)
        disk.failing = fails
        disk.release()
        try:
            logged = self.journal.ended(must_wait=True)
        except LogError:
            return
        finally:
            disk.let_go()
        assert logged is not None
        self.logged += logged
        self.pending = self.pending[len(begun) :]
        self.written = arrived
        progress = self.journal.progress("s")
        assert (progress.number if progress else 0) == arrived

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        """The hub dies and loses what it had not committed, or ends in order and commits it."""
        if clean:
            self.logged += self.journal.close(Commit(alerts=self.pending), 0.0)
        self.log.close()
        self.open()
        assert self.arrived() == self.written or clean
        self.written = self.arrived()

    @invariant()
    def numbers_have_no_hole(self) -> None:
        """What is in the log is numbered from 1 without a hole."""
        assert [a.seq for a in self.logged] == list(range(1, len(self.logged) + 1))

    def teardown(self) -> None:
        """Deliver and score the rest: the alerts are the oracle's."""
        if not hasattr(self, "log"):
            return
        while self.arrived() < len(self.messages):
            self.deliver(self.arrived() + 1)
        while self.unscored:
            self.let(scores_of([self.unscored.pop(0)]))
        self.commit(0.0)
        assert sorted(map(comparable, self.logged), key=repr) == EXPECTED
        assert read_published(self.log, 1, 10_000) == self.logged
        self.log.close()
        self.folder.cleanup()


TestDelivery = Outbox.TestCase
TestDelivery.settings = settings(max_examples=40, stateful_step_count=40)
