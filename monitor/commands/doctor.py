"""`monitor doctor`: check whether an installation and its machine can run the monitor.

Each finding is ``ok``, ``note`` or ``fault``, with advice. Nothing is changed or left behind.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.checks.findings import Finding, Verdict, fault
from monitor.checks.installation import (
    check_cuda,
    check_imports,
    check_kernels,
    check_packages,
    check_python,
    check_weights,
)
from monitor.checks.machine import (
    check_clock,
    check_disk,
    check_limits,
    check_ports,
    check_terminal,
)
from monitor.text import safe_text
from pipeline.errors import MonitorError

Checks = Mapping[str, Callable[[], Iterator[Finding]]]

_WIDTH: Final = 100
_LONGEST: Final = 400
_STYLES: Final = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.FAULT: "bold red"}


def all_checks(port: int) -> Checks:
    """Return every check by its name, in the order in which they are made."""
    from monitor.inputs import default_log

    return {
        "python": check_python,
        "packages": check_packages,
        "imports": check_imports,
        "CUDA": check_cuda,
        "kernels": check_kernels,
        "weights": check_weights,
        "ports": lambda: check_ports(port),
        "clock": check_clock,
        "disk": lambda: check_disk(default_log().parent),
        "limits": check_limits,
        "terminal": check_terminal,
    }


def print_findings(port: int, *, as_json: bool) -> bool:
    """Make all checks, print each finding as it comes, and return whether there is no fault."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    verdicts = []
    for name, finding in examine(all_checks(port)):
        verdicts.append(finding.verdict)
        if as_json:
            facts = {"check": name, "verdict": finding.verdict.value}
            line = {**facts, "found": finding.found, "advice": finding.advice}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        else:
            console.print(row(name, finding))
    faults, notes = verdicts.count(Verdict.FAULT), verdicts.count(Verdict.NOTE)
    if not as_json:
        console.print(Text(f"faults: {faults}, notes: {notes}", "bold red" if faults else "bold"))
    return faults == 0


def examine(checks: Checks) -> Iterator[tuple[str, Finding]]:
    """Make every check; a check that is refused or fails yields a fault."""
    for name, check in checks.items():
        try:
            for finding in check():
                yield name, finding
        except MonitorError as error:
            yield name, fault(str(error))
        except Exception as error:
            text = f"this check failed: {type(error).__name__}: {error}"
            yield name, fault(text, "install the package again, or report this as a bug")


def row(name: str, finding: Finding) -> Table:
    """Return a finding for a terminal: verdict, name, what was found, and below it the advice."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=5)
    table.add_column(width=8)
    table.add_column(ratio=1, overflow="fold")
    table.add_row(
        Text(finding.verdict.value, _STYLES[finding.verdict]),
        Text(name),
        Text(safe_text(finding.found, _LONGEST)),
    )
    if finding.advice:
        table.add_row("", "", Text("-> " + safe_text(finding.advice, _LONGEST), "italic"))
    return table
