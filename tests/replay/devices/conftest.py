"""What tests of devices share: LSL that stays on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def lsl_on_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep LSL off the network and quiet; it reads its configuration at its first use."""
    path = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    path.write_text("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n")
    before = os.environ.get("LSLAPICFG")
    os.environ["LSLAPICFG"] = str(path)
    yield path
    if before is None:
        del os.environ["LSLAPICFG"]
    else:
        os.environ["LSLAPICFG"] = before
