"""A long-lived process returns the memory that it has freed to the system."""

import os
import platform
import subprocess
import sys

import pytest

from monitor.run.limits import BYTES_A_STREAM, DATA_BYTES, hub_bytes
from pipeline.constants import MAX_STREAMS

SCRIPT = """
import ctypes, sys, threading
from monitor.run.limits import return_memory

class Info(ctypes.Structure):  # struct mallinfo2
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "mapped_blocks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "yes":
    return_memory()
libc.free(libc.malloc(4 << 20))  # from now on glibc would map no block of less than 4 MiB
before = libc.mallinfo2().mapped_blocks
for _ in range(100):  # the first may find room in what the imports have freed
    libc.malloc(2 << 20)
print(libc.mallinfo2().mapped_blocks - before)

together = threading.Barrier(16)
def work():
    together.wait()
    block = libc.malloc(1000)
    together.wait()
    libc.free(block)
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.stdout.flush()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize("asked", ["yes", "no"])
def test_large_blocks_are_mapped_alone_and_threads_share_arenas(asked: str) -> None:
    """By default glibc does neither."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, asked],
        env={name: value for name, value in os.environ.items() if not name.startswith("MALLOC")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    alone, _, arenas = run.stdout.partition("\n")
    assert (int(alone) >= 50) == (asked == "yes")
    assert (arenas.count("<heap nr=") <= 2) == (asked == "yes")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_what_one_commit_has_freed_serves_the_next() -> None:
    """Sixteen states of 250 kB: their thousand pages are not asked of the system each time."""
    code = (
        "import resource\n"
        "from monitor.run.limits import return_memory\n"
        "return_memory()\n"
        "for _ in range(11):\n"
        "    states = [b'x' * 250_000 for _ in range(16)]\n"
        "    del states\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    first, *_, last = map(int, done.stdout.split())
    assert last - first < 500


def test_a_source_loads_no_kernels() -> None:
    """Each source is a process that starts once a stream; what hubs and scorers need is theirs."""
    code = "import sys, monitor.stages.source, replay.player; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_hub_of_more_streams_may_use_more_memory() -> None:
    """Two gibibytes and two mebibytes for each beyond the usual number, as docs/scale.md says."""
    assert (DATA_BYTES, BYTES_A_STREAM) == (2 << 30, 2 << 20)
    assert hub_bytes(1) == hub_bytes(MAX_STREAMS) == DATA_BYTES
    assert hub_bytes(MAX_STREAMS + 1_000) == DATA_BYTES + 1_000 * BYTES_A_STREAM
