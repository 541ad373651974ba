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
    """Those that run only where something is wrong with the signal are ready, too."""
    run(
        "from pipeline.stream.warmup import compile_kernels\n"
        "compile_kernels()\n"
        "from pipeline.signal.kernels import agreement, windows\n"
        "from pipeline.signal.kernels.alarms import evidence, organisation\n"
        "from pipeline.signal.kernels.leads import complexes, passage, patient\n"
        "from pipeline.signal.kernels.naming import measures\n"
        "from pipeline.signal.kernels.scoring import leads, live, shape, templates\n"
        "kernels = (agreement.agree, windows.complete, windows.cut_beats, passage.advance,\n"
        "           patient.follow_patient,\n"
        "           templates.add, templates.measure_distances, live.look, live.log_rms,\n"
        "           live.keep_rhythm, live.observe_rhythm, live.remember, live.score,\n"
        "           live.assess, leads.compare_leads,\n"
        "           leads.follow_leads, shape.likeness_unshifted, measures.with_evidence,\n"
        "           measures.of_leads, complexes.found_at,\n"
        "           organisation.take, organisation.likeness,\n"
        "           organisation.median_likeness, evidence.assess, evidence.without_p_waves,\n"
        "           windows.keep_whole, windows.write_thousandths)\n"
        "assert all(kernel.signatures for kernel in kernels), kernels"
    )
