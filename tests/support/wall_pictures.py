"""Draw the wall of a real run as pictures, for docs/wall.md: `make wall-pictures`.

Sixteen synthetic patients, a hub, a wall and a headless Chromium, in real time.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from monitor.run.processes import child_command
from tests.support.kafka import Process
from tests.support.ports import free_ports

CHROMIUM = "/usr/bin/chromium"
SIZES = {"wall.png": (1920, 1080), "wall-phone.png": (390, 844)}
SECONDS = 25
"""Until the rates are known and the traces are full."""

PECULIAR = {
    3: "bpm=152",
    6: "ectopic=0.12&leads=II,V1",
    10: "leadoff=6",
    12: "bpm=66&pause=0.08",
    15: "noise=0.06",
}
"""Patients with something to see."""


def device(number: int) -> str:
    """Return the address of a synthetic patient."""
    rest = PECULIAR.get(number, f"bpm={56 + number * 11 % 37}")
    return f"synthetic:?name=bed-{number:02d}&seed={number}&{rest}"


def draw(page: Page, url: str, path: Path) -> None:
    """Write what the page shows once it is full and somebody is in alarm."""
    page.goto(url)
    page.wait_for_selector("#alarm[data-alarm=on]:not([hidden])", timeout=300_000)
    page.wait_for_timeout(SECONDS * 1000)
    page.screenshot(path=path)


def main(folder: Path) -> None:
    """Write the pictures into ``folder``."""
    port = free_ports()
    devices = [word for n in range(1, 17) for word in ("--device", device(n))]
    with tempfile.TemporaryDirectory() as state, sync_playwright() as playwright:
        own = {**os.environ, "XDG_STATE_HOME": state}
        live, _ = child_command(["live", *devices, "--json", "--port", str(port)])
        _, environment = child_command([])
        wall, _ = child_command(
            ["wall", "--http", "127.0.0.1:0", "--endpoint", f"tcp://127.0.0.1:{port}"]
        )
        with Process(live, environment | own), Process(wall, environment | own) as server:
            server.wait_for(lambda lines: bool(lines))
            url = json.loads(server.lines[0])["url"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for name, (width, height) in SIZES.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                draw(page, url, folder / name)
                page.close()
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
