"""A scorer as a process of its own, to be killed: the hub's address for scorers is its argument."""

import os
import sys

from running import TrivialScorer

from pipeline.worker import run_worker

if __name__ == "__main__":
    parent = os.getppid()
    run_worker(
        TrivialScorer(),
        None,
        model="m",
        device="cpu",
        work=sys.argv[1],
        stop=lambda: os.getppid() != parent,
    )
