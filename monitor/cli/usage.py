"""Bad usage of the command line in one line: what is wrong, of which command, where help is."""

from typing import Any, Final

import typer

from monitor.log_format import report_line
from monitor.text import LONGEST_LINE, safe_text

UsageError: Final[type[Exception]] = typer.BadParameter.__mro__[1]
"""What typer raises for all of it, and exports by no name."""


def report_usage(error: Any) -> int:
    """Write to stderr what is wrong, or help where no command is named; return the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        report_line(f"monitor: {safe_text(_line(error), LONGEST_LINE)}")
    return int(error.exit_code)


def _line(error: Any) -> str:
    command = "monitor" if error.ctx is None else error.ctx.command_path
    within = command.removeprefix("monitor").strip()
    # typer passes on the words of a ValueError as they are.
    text = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
    what = text[:1].lower() + text[1:]
    return f"{f'{within}: ' if within else ''}{what}; see {command} --help"
