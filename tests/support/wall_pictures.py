"""Draw the wall of a real run as pictures, for docs/wall.md: `make wall-pictures`.

Sixteen synthetic patients from files, a hub and a scorer, a wall and a headless Chromium. It also
prints how many frames a second the page draws there, where no GPU helps.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from monitor.run.processes import child_command
from monitor.run.supervisor import System
from replay.devices.synthetic import PatientConfig, SyntheticPatient
from tests.support.kafka import Process
from tests.support.ports import free_ports

CHROMIUM = "/usr/bin/chromium"
SIZES = {"wall.png": (1920, 1080), "wall-phone.png": (390, 844)}
SIGNAL_S, FULL_S = 150, 14
"""Of each patient, and from an alarm until the traces are full."""

PECULIAR: dict[int, dict[str, Any]] = {
    3: {"bpm": 152.0},
    6: {"ectopic": 0.2},
    12: {"bpm": 66.0, "pause": 0.1},
    15: {"noise": 0.06},
}
"""Patients with something to see."""

FRAMES_A_SECOND = """() => new Promise(done => {
    const begin = performance.now();
    let frames = 0;
    const count = now => {
        frames += 1;
        if (now - begin < 10000) requestAnimationFrame(count);
        else done(1000 * frames / (now - begin));
    };
    requestAnimationFrame(count);
})"""


def write_patient(folder: Path, number: int) -> str:
    """Write the signal of a patient; return the file."""
    facts = {"bpm": 56.0 + number * 11 % 37, **PECULIAR.get(number, {})}
    signal = SyntheticPatient(PatientConfig(seed=number, **facts)).generate(360 * SIGNAL_S)
    path = folder / f"bed-{number:02d}.csv"
    np.savetxt(path, signal.samples, fmt="%.4f", header="II", comments="")
    return str(path)


def draw(page: Page, url: str, path: Path) -> None:
    """Write what the page shows once it is full and somebody is in alarm; print its frames."""
    page.goto(url)
    page.wait_for_selector("#alarm[data-alarm=on]:not([hidden])", timeout=300_000)
    page.wait_for_timeout(FULL_S * 1000)
    page.screenshot(path=path)
    frames = page.evaluate(FRAMES_A_SECOND)
    sys.stdout.write(f"{path.name}: {frames:.1f} frames a second\n")


def main(folder: Path) -> None:
    """Write the pictures into ``folder``."""
    port = free_ports()
    wall, environment = child_command(
        ["wall", "--http", "127.0.0.1:0", "--endpoint", f"tcp://127.0.0.1:{port}"]
    )
    with tempfile.TemporaryDirectory() as state:
        patients = [write_patient(Path(state), number) for number in range(1, 17)]
        with (
            System(port=port, log=Path(state) / "log", on_note=lambda text: None) as system,
            Process(wall, environment) as server,
            sync_playwright() as playwright,
        ):
            stated = ("--fs", "360", "--unit", "mV", "--chunk", "200", "--loop")
            system.start_source([*patients, *stated])
            server.wait_for(lambda lines: bool(lines))
            url = json.loads(server.lines[0])["url"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for name, (width, height) in SIZES.items():
                size = {"width": width, "height": height}
                # With reduced motion nothing flashes: the picture is of the lit phase.
                page = browser.new_page(viewport=size, reduced_motion="reduce")
                draw(page, url, folder / name)
                page.close()
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
