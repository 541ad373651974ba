"""A program that writes a log and says on stdout, a line each, what it has committed.

``python appender.py LOG COMMITS SEED``. A line has the numbers of the last alert and of the
last entry of the journal; ``fault`` and the reason where a commit failed, after which it is tried
again. It ends by itself.
"""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import LogError
from pipeline.log.store import AlertLog, Commit
from tests.support.logs import alert, strip


def work(log: AlertLog, commits: int, seed: int, report: Callable[[str], None]) -> None:
    """Do all that a hub does to a log, and ``report`` each time after it."""
    chance = random.Random(seed)
    for _ in range(commits):
        first, entry = log.last_seq + 1, log.last_entry + 1
        commit = Commit(
            alerts=[
                alert(seq, episode=f"e-{seq // 3}", state=("on", "ack", "off")[seq % 3])
                for seq in range(first, first + chance.choice([0, 1, 1, 2, 7, 40]))
            ],
            entries=[chance.randbytes(chance.choice([10, 700, 9000])) for _ in range(2)],
            snapshots={f"{chance.randrange(3)}": chance.randbytes(3000)},
            entries_needed_from=entry - 20,
        )
        _until_done(lambda commit=commit: log.commit(commit), report)  # type: ignore[misc]
        report(f"{log.last_seq} {log.last_entry}")
        if chance.random() < 0.3:
            rows = [(seq, strip(seq)) for seq in range(first, log.last_seq + 1)[:2]]
            _until_done(lambda rows=rows: log.commit(Commit(strips=rows)), report)  # type: ignore[misc]
        if chance.random() < 0.1:
            _until_done(log.checkpoint, report)
        if chance.random() < 0.1:
            _until_done(lambda: log.remove_before(log.last_seq - 100), report)


def _until_done(act: Callable[[], object], report: Callable[[str], None]) -> None:
    while True:
        try:
            act()
        except LogError as error:
            report(f"fault {error}")
        else:
            return


def _say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    with AlertLog(Path(sys.argv[1])) as opened:
        work(opened, int(sys.argv[2]), int(sys.argv[3]), _say)
