"""What a hub loads before it serves: every import is time in which nothing is monitored."""

import subprocess
import sys

import pytest

COMPILED_S = 240.0
"""Where the kernels are compiled first."""

pytestmark = pytest.mark.timeout(COMPILED_S + 20.0)


def run(code: str) -> None:
    """Run Python code in a process that has imported nothing."""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=COMPILED_S)


def test_hub_imports_nothing_slow_that_it_does_not_use() -> None:
    """Neither torch nor scipy's filter design nor its linear algebra nor WFDB."""
    run(
        "import sys, monitor.cli.app, monitor.stages.hub, models.files.calibration\n"
        "import pipeline.hub.hub, pipeline.stream.warmup\n"
        "pipeline.stream.warmup.compile_kernels()\n"
        "slow = {'torch', 'scipy.signal', 'scipy.stats', 'scipy.linalg', 'wfdb', 'rich.console'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )


def test_linear_algebra_can_be_imported_after_the_kernels() -> None:
    """Only while they load it is kept away."""
    run(
        "from pipeline.stream.warmup import compile_kernels\n"
        "compile_kernels()\n"
        "from scipy import linalg\n"
        "assert linalg.det([[2.0]]) == 2.0"
    )


def test_no_kernel_of_a_stream_is_compiled_later() -> None:
    """Whatever the signal: one lead or three, a lead that is off, a gap, and a stream restored."""
    run(
        "from pipeline.stream.warmup import compile_kernels\n"
        "from tests.support.compiled import signatures, use_streams\n"
        "compile_kernels()\n"
        "before = signatures()\n"
        "assert sum(map(bool, before.values())) > 20, before\n"
        "use_streams()\n"
        "later = {kernel: its for kernel, its in signatures().items() if its != before[kernel]}\n"
        "assert not later, later"
    )
