"""``import monitor`` is enough, and light."""

import subprocess
import sys

import pytest

import monitor

HEAVY = ("torch", "zmq", "numba", "numpy", "scipy", "typer", "rich", "wfdb", "matplotlib", "pandas")


def test_importing_loads_nothing_heavy() -> None:
    """Not one of the libraries, before a name of it is used."""
    code = f"import monitor, sys; print([name for name in {HEAVY} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "[]\n"


def test_an_analysis_needs_neither_torch_nor_sockets() -> None:
    """The demo record is analysed where these cannot be imported at all."""
    code = (
        "import sys\n"
        "sys.modules.update(torch=None, zmq=None, typer=None, matplotlib=None)\n"
        "import monitor; print(monitor.analyze('demo').summary.beats)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert int(shown.stdout) > 100


def test_every_name_is_there() -> None:
    """All that the package offers can be read, and is listed; anything else is an error."""
    assert all(getattr(monitor, name) is not None for name in monitor.__all__)
    assert {*monitor.__all__, "__version__"} <= set(dir(monitor))
    assert monitor.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        monitor.analyse  # noqa: B018
