"""A worker as a process of its own, to be killed: brokers, prefix and settings are its arguments.

It scores by itself, trivially, and prints its partitions whenever they change.
"""

import json
import os
import sys

from monitor.kafka.cluster import run_and_leave
from monitor.run.processes import stop_when_orphaned
from pipeline.alarms.settings import DEFAULTS
from pipeline.kafka.brokers import Cluster
from pipeline.kafka.partition import Rules
from pipeline.kafka.topics import Topics
from pipeline.kafka.worker import Worker
from tests.support.running import CONFIG, TrivialScorer


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    brokers, prefix, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    snapshot_s, version = settings.pop("snapshot_s"), settings.pop("version")
    screens, leave_s = settings.pop("screens"), settings.pop("leave_s")
    stop = stop_when_orphaned(os.getppid())
    cluster = Cluster(brokers=brokers, topics=Topics(prefix), settings=settings)
    rules = Rules(live_score=CONFIG, alarms=DEFAULTS, version=version)

    def opened() -> Worker:
        """Return the worker."""
        return Worker(
            cluster,
            rules,
            TrivialScorer(),
            stop,
            snapshot_s=snapshot_s,
            screens=screens,
            on_owned=lambda partitions: say(json.dumps([*partitions])),
        )

    def run(worker: Worker) -> None:
        """Run it."""
        say("joins")
        worker.run()

    run_and_leave(opened, run, stop, leave_s=leave_s)
