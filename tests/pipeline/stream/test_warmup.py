"""What a hub loads before it serves: every import is time in which nothing is monitored."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPILED_S = 240.0
"""Where the kernels are compiled first."""

pytestmark = pytest.mark.timeout(COMPILED_S + 20.0)


def run(code: str, **environment: str) -> None:
    """Run Python code in a process that has imported nothing."""
    variables = os.environ | environment
    subprocess.run([sys.executable, "-c", code], check=True, timeout=COMPILED_S, env=variables)


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


@pytest.mark.parametrize("last", [False, True])
def test_kernels_are_compiled_once_the_last_one_is(tmp_path: Path, last: bool) -> None:
    """A first start that was interrupted left some of them: the next one says that it compiles."""
    run(
        "from pathlib import Path\n"
        "from pipeline.signal.kernels import sampling\n"
        "from pipeline.signal.kernels.scoring import live\n"
        "from pipeline.stream.warmup import compiled_before\n"
        "before = [sampling.filter_bank, live.keep_rhythm, live.observe_rhythm, live.assess]\n"
        f"for kernel in before + [live.score] * {last}:\n"
        "    folder = Path(kernel.stats.cache_path)\n"
        "    folder.mkdir(parents=True, exist_ok=True)\n"
        "    name = kernel.__module__.rpartition('.')[2] + '.' + kernel.__name__\n"
        "    (folder / f'{name}-1.py311.1.nbc').touch()\n"
        f"assert compiled_before() is {last}",
        NUMBA_CACHE_DIR=str(tmp_path / "cache"),
    )


def test_the_kernel_that_is_looked_for_is_the_last_one() -> None:
    """What is compiled, or loaded, after all others, and that no other one brings with it."""
    run(
        "from numba.core.dispatcher import Dispatcher\n"
        "from pipeline.signal.kernels.scoring import live\n"
        "from pipeline.stream.warmup import compile_kernels\n"
        "compiled, compile = [], Dispatcher.compile\n"
        "def watched(kernel, signature):\n"
        "    compiled.append(kernel)\n"
        "    return compile(kernel, signature)\n"
        "Dispatcher.compile = watched\n"
        "compile_kernels()\n"
        "assert compiled[-1] is live.score, compiled[-1]\n"
        "assert compiled.count(live.score) == 1 < len(compiled)"
    )
