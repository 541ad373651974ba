"""A scorer as a process of its own, to be killed: the hub's address for scorers is its argument."""

import os
import sys

from pipeline.clients.scorer import run_worker
from tests.support.running import TrivialScorer

if __name__ == "__main__":
    parent = os.getppid()
    run_worker(
        TrivialScorer(),
        model="m",
        device="cpu",
        work=sys.argv[1],
        stop=lambda: os.getppid() != parent,
    )
