"""A program that is started without stdin, stdout or stderr, as some supervisors of services do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SOCKET = (
    "import json, socket, sys\n"
    "import monitor.cli.app as cli\n"
    "sys.argv = ['monitor', 'keys', '--help']\n"
    "try:\n"
    "    cli.main()\n"
    "except SystemExit:\n"
    "    pass\n"
    "open(NAME, 'w').write(json.dumps(socket.socket().fileno()))\n"
)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_no_socket_gets_the_number_of_a_standard_stream(closed: str, tmp_path: Path) -> None:
    """The listening socket that a run hands to its hub was closed in the hub: stdin is there."""
    found = tmp_path / "number"
    script = SOCKET.replace("NAME", repr(str(found)))
    subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script], check=True, timeout=60
    )
    assert json.loads(found.read_text()) > 2
