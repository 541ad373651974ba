"""A member of the group of workers: it owns the streams of the partitions that it is given.

Each turn takes what has come, one message of each partition at a time, scores the beats of all of
them in one batch, and writes the alerts that follow. Now and then a partition is saved
(`pipeline.kafka.snapshots`); a worker that is given it continues there and reads again what came
since. Whoever stops serving, asked to or not, leaves nothing behind that the next one needs.

One thread. `Worker.run` ends when ``stop`` returns true.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Self

from pipeline.errors import EndpointError
from pipeline.kafka.alerts import AlertId
from pipeline.kafka.brokers import Cluster, failures_in_a_line, is_fatal, reason
from pipeline.kafka.figures import EVERY_S, Figure, Figures, OnFigures, ignore_figures
from pipeline.kafka.ownership import Owned, Takeover, leave
from pipeline.kafka.partition import Rules, Step
from pipeline.kafka.reading import committed, offsets
from pipeline.kafka.scoring import score_all
from pipeline.kafka.screens import Screens
from pipeline.kafka.skipped import Skipped
from pipeline.schema.alert import published, timed, utc_text
from pipeline.schema.partition_log import encode_answer, encode_batch, encode_silent
from pipeline.schema.public import encode_json
from pipeline.scoring.protocols import Scorer

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

logger = logging.getLogger(__name__)

SNAPSHOT_S: Final = 60.0
"""A worker that takes over applies this much again, at most."""

_MESSAGES_A_TURN: Final = 256
_WAIT_S: Final = 0.1
_SOON_S: Final = 0.005
"""While alerts wait for the brokers to have those before them, they are waited for so long."""
_CLOCK_S: Final = 0.25
_LEAVE_S: Final = 20.0
"""Within this time what is under way is delivered when partitions are given up."""


class Worker:
    """Serves the partitions that the group gives it; a context manager."""

    def __init__(
        self,
        cluster: Cluster,
        rules: Rules,
        scorer: Scorer,
        stop: Callable[[], bool],
        *,
        snapshot_s: float = SNAPSHOT_S,
        new_settings: bool = False,
        screens: bool = False,
        on_owned: Callable[[Sequence[int]], None] = lambda partitions: None,
        on_figures: OnFigures = ignore_figures,
    ) -> None:
        """Join the group.

        Args:
            cluster: the brokers.
            rules: what alerts follow from.
            scorer: scores the beats, in this thread.
            stop: whether to end.
            snapshot_s: between two snapshots of a partition.
            new_settings: whether to go on where other settings or models were in force.
            screens: whether to write what screens show, too.
            on_owned: called with all partitions that this worker has now.
            on_figures: called with what was counted, each second.

        Raises:
            ConfigError: topics are missing or were changed, a setting is refused, or others were
                in force.
            EndpointError: no broker answers.
        """
        topics = cluster.topics
        partitions = cluster.partitions(list(topics.settings()))
        self._topics = topics
        self._rules = rules
        self._scorer = scorer
        self._stop = stop
        self._on_owned = on_owned
        self._on_figures, self._figures_due = on_figures, 0.0
        self._counts: Counter[str] = Counter()
        self._owned: dict[int, Owned] = {}
        self._failure = ""
        self._clock_due = 0.0
        self.skipped = Skipped(topics.chunks)
        """Items that were not taken."""
        self._producer = cluster.producer()
        self._screens = Screens(self._producer, topics.live) if screens else None
        self._reader = cluster.reader()
        self._member = cluster.member()
        self._takeover = Takeover(
            topics=topics,
            rules=rules,
            producer=self._producer,
            reader=self._reader,
            member=self._member,
            snapshot_s=snapshot_s,
            partitions=partitions,
            new_settings=new_settings,
            stop=stop,
        )
        self._takeover.check_all()
        self._member.subscribe(
            [topics.chunks],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def run(self) -> None:
        """Serve until ``stop`` returns true.

        Raises:
            EndpointError: the cluster can no longer be used by this process.
        """
        with failures_in_a_line():
            while not self._stop():
                self.turn()

    def turn(self) -> None:
        """Take what has come; write what follows; see to the clock and to snapshots."""
        behind = any(one.writer.is_behind for one in self._owned.values())
        came = self._producer.poll(_SOON_S if behind else 0.0)
        first = self._member.poll(0.0 if came or behind else _WAIT_S)
        if first is not None:
            self._take([first, *self._member.consume(_MESSAGES_A_TURN - 1, 0.0)])
        now = time.monotonic()
        if now >= self._clock_due:
            self._clock_due = now + _CLOCK_S
            self._watch_clock(now)
        if now >= self._figures_due:
            self._figures_due = now + EVERY_S
            self._on_figures(self._figures(now))
        self._save_due(now)
        if self._screens is not None:
            shown = {number: one.partition for number, one in self._owned.items()}
            self._screens.write(shown, now, time.time())
        for owned in self._owned.values():
            owned.writer.go_on()
            self._failure = self._failure or owned.writer.failure
        if self._failure:
            raise EndpointError(f"this worker cannot go on: {self._failure}")

    # --- messages ----------------------------------------------------------------------------

    def _take(self, messages: Sequence["Message"]) -> None:
        """Take messages, of each partition in order, one of each at a time."""
        queues: dict[int, deque[Message]] = {}
        for message in messages:
            error, partition = message.error(), message.partition()
            if error is not None:
                self._on_error(error)
            elif partition is not None:
                queues.setdefault(partition, deque()).append(message)
        while queues:
            steps = [
                (number, step)
                for number, queue in queues.items()
                if (step := self._step(number, queue.popleft())) is not None
            ]
            queues = {number: queue for number, queue in queues.items() if queue}
            self._score(steps)
            for number, step in steps:
                self._publish(number, step)
            self._producer.poll(0.0)  # so that alerts that wait for others go on

    def _step(self, number: int, message: "Message") -> Step | None:
        owned, offset = self._owned.get(number), message.offset()
        if owned is None or offset is None:
            return None
        expected = owned.partition.next_offset
        self._counts["messages"] += 1
        self._counts["bytes"] += len(message)
        if offset < expected:
            self._counts["repeats"] += 1
            return None
        if offset > expected and self._must_go_back(number, expected, offset):
            return None
        at = message.timestamp()[1] / 1e3
        step = owned.partition.take(message.value() or b"", offset, at, time.monotonic())
        if offset < owned.answered_to:
            step.answers.clear()
        if step.rejected:
            self.skipped.add(number, offset, step.reason, step.rejected)
        return step

    def _must_go_back(self, number: int, expected: int, offset: int) -> bool:
        """Return whether messages before one are still there: then they are read first.

        It was fetched before the partition was given back and taken again, or they were removed.
        """
        from confluent_kafka import TopicPartition

        oldest, _ = offsets(self._reader, self._topics.chunks, number, self._stop)
        if oldest > expected:
            logger.error(
                "partition %d: %d messages were removed before they were read: the topic keeps "
                "them no longer", number, offset - expected,
            )  # fmt: skip
            return False
        self._member.seek(TopicPartition(self._topics.chunks, number, expected))
        return True

    def _score(self, steps: Sequence[tuple[int, Step]]) -> None:
        """Score the beats of all steps in as few batches as there can be."""
        beats = [beat for _, step in steps for beat in step.beats]
        if not beats:
            return
        batch = score_all(self._scorer, beats)
        self._counts["beats"] += len(beats)
        first = 0
        for number, step in steps:
            of_step = len(step.beats)
            if of_step:
                self._owned[number].partition.on_scores(step, batch, first)
            first += of_step

    def _publish(self, number: int, step: Step) -> None:
        """Write what follows from a message, every beat of which has its score."""
        owned, now = self._owned[number], time.time()
        for place, pending in enumerate(step.alerts):
            id_ = AlertId(owned.partition.term, step.offset, place)
            alert = timed(pending.alert, pending.latency(now), utc=utc_text(now))
            owned.writer.write(id_, alert.stream, encode_json(published(alert, "", "")))
            self._counts["alerts"] += 1
        owned.written_to = step.offset + 1
        while owned.writer.is_full and not (owned.writer.failure or self._stop()):
            self._producer.poll(_WAIT_S)
            owned.writer.go_on()
        for answer in step.answers:
            self._produce(self._topics.answers, number, encode_answer(answer))
        if self._screens is not None:
            self._screens.add(number, step.messages)

    def _produce(self, topic: str, partition: int, value: bytes) -> None:
        """Hand a message to the producer; where it has too many, wait until it takes one more.

        A worker that ends leaves it out: whoever asked asks again.
        """
        while True:
            try:
                self._producer.produce(
                    topic, value, partition=partition, on_delivery=self._on_delivery
                )
                return
            except BufferError:
                self._producer.poll(_WAIT_S)
            if self._failure or self._stop():
                return

    def _on_delivery(self, error: "KafkaError | None", message: "Message") -> None:
        if error is not None:
            self._failure = self._failure or error.str()

    def _on_error(self, error: "KafkaError") -> None:
        if is_fatal(error):
            self._failure = self._failure or error.str()
        else:
            logger.warning("%s", error.str())

    # --- the clock ---------------------------------------------------------------------------

    def _watch_clock(self, now: float) -> None:
        """Write to each partition which of its sources have fallen silent."""
        for number, owned in self._owned.items():
            if not 0 <= self._end(number) <= owned.partition.next_offset:
                continue  # messages wait, as far as is known
            if silent := owned.partition.silent(now):
                frames = [encode_silent(one) for one in silent]
                self._produce(self._topics.chunks, number, encode_batch(frames))

    def _end(self, number: int) -> int:
        """Return the offset behind the newest message of a partition; -1 if it is not known."""
        from confluent_kafka import TopicPartition

        known = self._member.get_watermark_offsets(
            TopicPartition(self._topics.chunks, number), cached=True
        )
        return -1 if known is None else int(known[1])

    def _figures(self, now: float) -> Figures:
        counts, owned = self._counts, self._owned.items()
        lags = (self._end(number) - one.partition.next_offset for number, one in owned)
        return [
            Figure("messages_total", counts["messages"]),
            Figure("message_bytes_total", counts["bytes"]),
            Figure("repeats_total", counts["repeats"]),
            Figure("lag_messages", sum(max(0, lag) for lag in lags)),
            Figure("partitions", len(owned)),
            Figure("streams", sum(len(one.partition.streams.sessions) for _, one in owned)),
            Figure("beats_total", counts["beats"]),
            Figure("alerts_total", counts["alerts"]),
            Figure("skipped_total", self.skipped.count),
            Figure("snapshot_age_s", max((now - one.saved_at for _, one in owned), default=0.0)),
            Figure("time_s", time.time()),
        ]

    # --- snapshots ---------------------------------------------------------------------------

    def _save_due(self, now: float) -> None:
        """Commit the snapshots that are complete; begin one that is due."""
        begun = False
        for number, owned in self._owned.items():
            owned.commit(self._member)
            if owned.partition.next_offset == owned.saved_offset and owned.saving is None:
                owned.saved_at = now  # it holds all that there is
            if begun or owned.saving is not None or now < owned.save_due:
                continue
            if owned.partition.next_offset == owned.saved_offset:
                continue
            self._takeover.save(number, owned)
            begun = True

    def _save_now(self, numbers: Sequence[int]) -> None:
        """Save partitions, within `_LEAVE_S`; of one that cannot be, the snapshot before stays."""
        chosen = [self._owned[number] for number in numbers]
        for number, owned in zip(numbers, chosen, strict=True):
            self._takeover.save(number, owned)
        deadline = time.monotonic() + _LEAVE_S
        while time.monotonic() < deadline and any(one.is_saving for one in chosen):
            self._producer.poll(_WAIT_S)
            for owned in chosen:
                owned.writer.go_on()
        for owned in chosen:
            owned.commit(self._member, wait=True)

    # --- the group ---------------------------------------------------------------------------

    def _on_assign(self, member: "Consumer", partitions: "list[TopicPartition]") -> None:
        from confluent_kafka import OFFSET_END

        starts: dict[int, int] = {}
        try:
            for of_group in committed(member, partitions, self._stop):
                if (owned := self._takeover.owned(of_group)) is None:
                    logger.info("the group has given this worker up: it joins again")
                    continue
                self._owned[of_group.partition] = owned
                starts[of_group.partition] = owned.partition.next_offset
        except EndpointError:
            if not self._stop():
                raise
        # Also those that are not taken over: the library gives back all of them, or fails.
        for one in partitions:
            one.offset = starts.get(one.partition, OFFSET_END)
        member.incremental_assign(partitions)
        self._tell("has taken", list(starts))

    def _on_revoke(self, member: "Consumer", partitions: "list[TopicPartition]") -> None:
        from confluent_kafka import KafkaException

        try:
            self._save_now([one.partition for one in partitions if one.partition in self._owned])
        except KafkaException as error:
            logger.error("nothing is saved: %s", reason(error))
        self._give_up(member, partitions, "gives back")

    def _on_lost(self, member: "Consumer", partitions: "list[TopicPartition]") -> None:
        # Another worker has them: what this one knows may be old.
        self._give_up(member, partitions, "has lost")

    def _give_up(self, member: "Consumer", partitions: "list[TopicPartition]", verb: str) -> None:
        given = [one.partition for one in partitions if self._owned.pop(one.partition, None)]
        # Left to the library, it asks for the protocol first: see `leave`.
        member.incremental_unassign(partitions)
        self._tell(verb, given)

    def _tell(self, verb: str, numbers: Sequence[int]) -> None:
        if numbers:
            logger.info("this worker %s partitions %s", verb, sorted(numbers))
            self._on_owned(sorted(self._owned))

    def close(self) -> None:
        """Save what this worker has, and leave the group; the library sets no limit of time."""
        try:
            with failures_in_a_line():
                leave(self._member, _LEAVE_S)
                self._producer.flush(_LEAVE_S)
        finally:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
