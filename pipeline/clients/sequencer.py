"""Puts alerts in order, each exactly once: which were delivered, and which must be asked for.

Alerts come live, where any may be missing, and in pages from the log, on request. `Sequencer` takes
both and delivers every alert exactly once and in order. For alerts that the log cannot give it
delivers a `Gap`; where the log is another one, or an older copy, a `LogReplaced`. An older copy
that went on has the numbers that were read, with other links of the chain. It concludes either only
from the answer to its own latest request. A live message may have waited in a queue for long, and
then speak of a log that is no more, or of a number passed long ago: it only makes it ask.

Pure: no sockets, no clock; ``now`` is an argument, in seconds of any steady clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pipeline.schema.public import Gap, Heartbeat, LogReplaced, PublishedAlert
from pipeline.schema.requests import ReplayPage, ReplayRequest

Record = PublishedAlert | Gap | LogReplaced
"""What a subscriber is given, in order."""

MOST_HELD: Final = 1_000
"""Live alerts kept while older ones are being fetched; of more, the log has a copy."""

PATIENCE_S: Final = 2.0
"""After this long without an answer the request was lost with a connection: it is sent again."""


@dataclass(slots=True)
class Sequencer:
    """What one subscriber has received, and what it still needs."""

    have: int | None
    """The last number delivered; None until it is known where to begin."""
    log_id: str = ""
    """The log whose numbers it counts; empty before the first message."""
    link: str = ""
    """Of the log's chain, after the last alert delivered; empty where it is not known."""
    _ahead: bool = False
    """Whether it begins behind the end of its first log, which has yet to give those numbers."""
    _asking: bool = False
    """Whether a request waits for its answer, or for the rest of it."""
    _doubt: bool = False
    """Whether a live message spoke of another log, or of fewer alerts than were delivered."""
    _question: int = 0
    """Number of the latest request."""
    _diverged: int = 0
    """The request whose answer said that the log is another continuation."""
    _asked_from: int = 0
    _received_to: int = 0
    """The newest alert that was held when that was sent."""
    _active_at: float = 0.0
    """When that was sent, or the last page of its answer came."""
    _held: dict[int, PublishedAlert] = field(default_factory=dict)
    """Alerts that wait for those before them, by number."""

    def on_alert(self, alert: PublishedAlert) -> list[Record]:
        """Take a live alert; return what can be delivered, in order."""
        self._adopt_log(alert.log_id, alert.seq)
        if alert.log_id != self.log_id:
            self._doubt = True
            return []
        if self.have is None:
            self.have, self.link = alert.seq - 1, alert.link_before
        before = self._contradicts(alert.seq - 1, alert.link_before)
        if before or self._contradicts(alert.seq, alert.link):
            self._doubt = True
            return []
        if alert.seq > self.have + 1 and len(self._held) >= MOST_HELD:
            return []
        return self._deliver([alert])

    def on_heartbeat(self, beat: Heartbeat) -> None:
        """Take a heartbeat, which carries the newest number."""
        self._adopt_log(beat.log_id, beat.last_seq)
        if self.have is None:
            self.have, self.link = beat.last_seq, beat.link
        self._ahead = self._ahead and beat.last_seq < self.have
        if beat.log_id != self.log_id or (beat.last_seq < self.have and not self._ahead):
            self._doubt = True
        self._doubt = self._doubt or self._contradicts(beat.last_seq, beat.link)

    def _contradicts(self, seq: int, link: str) -> bool:
        """Return whether the last alert delivered has another link than this one of its number."""
        return seq == self.have and "" not in (link, self.link) and link != self.link

    def _adopt_log(self, log_id: str, last_seq: int) -> None:
        """Take the first log that is seen for the one to read."""
        if not self.log_id:
            self.log_id = log_id
            self._ahead = self.have is not None and last_seq < self.have

    def on_page(self, page: ReplayPage, now: float) -> list[Record]:
        """Take a page of old alerts; return what can be delivered, in order."""
        # 1. Only the answer to the latest request counts.
        if not self._asking or page.question != self._question or self.have is None:
            return []
        self._active_at = now
        self._asking = not page.end
        self.log_id = self.log_id or page.log_id
        records: list[Record] = []
        # 2. Another log, or one that ends before what was read, or went on without it: its numbers
        #    count from now on. Every page of an answer says so; it is said once.
        diverged = page.diverged and self._diverged != page.question
        if page.log_id != self.log_id or page.last_seq < self._asked_from - 1 or diverged:
            self._diverged = page.question
            records.append(self._begin_anew(page))
        # What was received before the question and is in no answer is of a log that is no more.
        for seq in [seq for seq in self._held if page.last_seq < seq <= self._received_to]:
            del self._held[seq]
        # 3. What was removed from the log will never come.
        records += self._skip_to(page.low_water_seq - 1, "no longer in the log")
        # 4. The alerts of the page, and held ones that follow on them.
        records += self._deliver(page.alerts)
        if self.have + 1 in self._held:  # it does not follow on what was delivered
            self._asking = False
            return records
        # 5. The page covers all numbers up to `to_seq`: what it lacks cannot be read.
        if page.from_seq <= self.have + 1:
            records += self._skip_to(page.to_seq, "damaged in the log")
        if self.have == page.to_seq:
            self.link = self.link or page.link
        return records

    def wanted(self, last_seq: int, now: float) -> ReplayRequest | None:
        """Return the request to send now, given the newest number, or None."""
        if self._asking and now - self._active_at < PATIENCE_S:
            return None
        self._asking = False
        if self.have is None or not (self._doubt or self._held or self.have < last_seq):
            return None
        self._asking, self._doubt, self._active_at = True, False, now
        self._question += 1
        self._asked_from, self._received_to = self.have + 1, max(self._held, default=0)
        return ReplayRequest(
            log_id=self.log_id,
            from_seq=self._asked_from,
            question=self._question,
            link=self.link,
        )

    def not_asked(self) -> None:
        """Record that the request could not be sent."""
        self._asking, self._doubt = False, True

    def _deliver(self, alerts: Iterable[PublishedAlert]) -> list[Record]:
        """Return those of ``alerts``, and of those held, whose turn it is; hold the others."""
        assert self.have is not None
        # All of them first: one that is held under the same number may be of a log that is no more.
        self._held.update((alert.seq, alert) for alert in alerts if alert.seq > self.have)
        ready: list[Record] = []
        while (following := self._held.get(self.have + 1)) is not None:
            if self._contradicts(self.have, following.link_before):
                self._doubt = True
                break
            del self._held[following.seq]
            self.have, self.link = following.seq, following.link
            ready.append(following)
        return ready

    def _skip_to(self, to_seq: int, why: str) -> list[Record]:
        """Give up what is missing up to ``to_seq``; deliver what is held of it."""
        assert self.have is not None
        records: list[Record] = []
        while self.have < to_seq:
            first = self.have + 1
            self.have = min((seq for seq in self._held if seq <= to_seq), default=to_seq + 1) - 1
            self.link = ""
            which = (
                f"alert {first} is" if first == self.have else f"alerts {first} to {self.have} are"
            )
            records.append(
                Gap(
                    log_id=self.log_id,
                    seq=self.have,
                    from_seq=first,
                    to_seq=self.have,
                    reason=f"{which} {why}",
                )
            )
            if (following := self._held.pop(self.have + 1, None)) is not None:
                records += self._deliver([following])
        return records

    def _begin_anew(self, page: ReplayPage) -> LogReplaced:
        """Continue with another log from its beginning: it has numbers of its own."""
        assert self.have is not None
        if page.log_id != self.log_id:
            reason = "the log was replaced by another one: read from its beginning"
        elif page.last_seq < self.have:
            reason = (
                f"the log ends at alert {page.last_seq}, alert {self.have} was read: an older copy"
            )
        else:
            reason = (
                f"the log has another alert {self.have} than was read: an older copy that went on, "
                "read from its beginning"
            )
        replaced = LogReplaced(
            log_id=page.log_id, old_log_id=self.log_id, old_seq=self.have, reason=reason
        )
        self.log_id, self.have, self.link, self._asked_from = page.log_id, 0, "", 1
        self._held.clear()
        return replaced
