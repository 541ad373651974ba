"""`make compare` in a repository of its own, with a stub in place of `monitor`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("git") is None, reason="needs make and git"
)
@pytest.mark.parametrize("code", [0, 3])
def test_make_compare_leaves_no_worktree_behind(tmp_path: Path, code: int) -> None:
    """Not where the measurement fails either; of a commit that is none git says so."""
    repository, ready, tools = tmp_path / "repository", tmp_path / "ready", tmp_path / "bin"
    repository.mkdir()
    tools.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements.lock"):
        shutil.copyfile(ROOT / name, repository / name)
    ready.touch()
    monitor = tools / "monitor"
    monitor.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n"
        f"print(*sys.argv[1:], (Path(sys.argv[-1]) / 'Makefile').is_file())\nsys.exit({code})\n"
    )
    monitor.chmod(0o700)
    others = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "MAKE", "MFLAGS"))}
    alone = others | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            words, cwd=repository, env=alone, capture_output=True, text=True, check=False
        )

    def compared(*words: str) -> "subprocess.CompletedProcess[str]":
        return run("make", "--silent", "compare", f"BIN={tools}", f"READY={ready}", *words)

    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "Begin"]):
        assert run("git", *words).returncode == 0
    done = compared("BASE=HEAD", "OPTIONS=--streams 64")

    assert done.stdout.split() == ["bench", "--streams", "64", "--beside", "build/compare", "True"]
    assert (done.returncode == 0) == (code == 0)
    for refused, said in ((compared("BASE=absent"), "absent"), (compared(), "BASE=COMMIT")):
        assert refused.returncode != 0
        assert said in refused.stderr
        assert refused.stdout == ""
    assert not (repository / "build" / "compare").exists()
    assert len(run("git", "worktree", "list").stdout.splitlines()) == 1
