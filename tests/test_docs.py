"""What the documents tell a reader to do works."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.processes import System
from pipeline.constants import DEFAULT_PORT

ROOT = Path(__file__).parents[1]


def free_port_pair() -> int:
    """Return a port that is free, and the one above it too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def python_blocks(document: str) -> list[str]:
    """Return the Python code blocks of a document, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_documented_subscribers_receive_and_parse_alerts(tmp_path: Path) -> None:
    """The subscribers in README and docs/subscribing.md, as printed, print alerts."""
    live, replay = python_blocks("docs/subscribing.md")
    (readme,) = python_blocks("README.md")
    port = free_port_pair()

    def start(code: str) -> "subprocess.Popen[str]":
        code = code.replace(str(DEFAULT_PORT), str(port)).replace("5571", str(port + 1))
        return subprocess.Popen(
            [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True
        )

    with System(port=port, log=tmp_path / "log.sqlite", on_note=lambda text: None) as system:
        listeners = [start(live), start(readme)]
        try:
            system.feed(["demo", "--speed", "50", "--loop"])
            for listener in listeners:
                assert listener.stdout is not None
                assert "demo" in listener.stdout.readline()
        finally:
            for listener in listeners:
                listener.kill()
                listener.communicate()
        asked = start(replay)
        output, _ = asked.communicate(timeout=30)

    assert output.splitlines()[0].startswith("1 ")


def test_readme_shows_every_command() -> None:
    """The README's table names the commands that --help lists."""
    shown = subprocess.run(
        [sys.executable, "-m", "monitor", "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"^  ([a-z]+)  ", shown.split("Commands:")[1], flags=re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(commands) >= 10
    assert [name for name in commands if not re.search(rf"\b{name}\b", readme)] == []


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(document: str) -> None:
    """Every relative link of a document points to a file of the repository."""
    text = (ROOT / document).read_text(encoding="utf-8")
    folder = (ROOT / document).parent

    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [link for link in links if not (folder / link).exists()]

    assert missing == []
