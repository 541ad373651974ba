"""`monitor log verify`: check an alert log for damage."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from monitor.commands.progress import progress
from monitor.text import safe_text
from pipeline.errors import LogError
from pipeline.log.verify import verify


def verify_log(path: Path, *, as_json: bool) -> None:
    """Check every row, the chain of the alerts and the file; print what was found.

    Raises:
        InputError: there is no such log.
        LogError: anything is damaged, or the log cannot be read.
    """
    with progress("checking") as on_progress:
        checked = verify(path, on_progress)
    if as_json:
        sys.stdout.write(json.dumps({**asdict(checked), "intact": checked.intact}) + "\n")
    else:
        for line in [*checked.damage, *checked.counts()]:
            sys.stdout.write(safe_text(line, 300) + "\n")
    if not checked.intact:
        raise LogError(f"{path} is damaged: {len(checked.damage) + checked.uncounted} findings")
