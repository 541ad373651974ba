"""``--log-format``: what the processes write to stderr, as text for people or JSON for programs.

Text has warnings and errors only. JSON has one object a line, from level ``info`` on, with ``time``
(UTC), ``level``, ``logger``, ``stage``, ``pid``, ``message``, and where they apply ``stream`` and
``exception``. Folders are removed from every path, because the folders of records may be named
after patients. Child processes use the same format.
"""

import contextlib
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final

VARIABLE: Final = "MONITOR_LOG_FORMAT"
"""Environment variable that passes the format on to child processes."""

_FOLDERS: Final = re.compile(r"(?<![\w.\-/])/(?:[^\s/]+/)*(?=[^\s/])")
"""The folders of an absolute path without spaces."""

logger = logging.getLogger(__name__)


class LogFormat(StrEnum):
    """The format of stderr."""

    TEXT = "text"
    JSON = "json"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, stage: str, paths: Iterable[str] = ()) -> None:
        """Format lines of ``stage``; remove folders of ``paths``, whatever their names contain."""
        super().__init__()
        self._stage = stage
        folders = {folder for path in paths for folder in _folders_of(path)}
        self._folders = sorted(folders, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline in it."""
        time = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "stage": self._stage,
            "pid": record.process,
            "message": self._without_folders(record.getMessage()),
        }
        stream = getattr(record, "stream", None)
        if stream is not None:
            line["stream"] = str(stream)
        if record.exc_info:
            line["exception"] = self._without_folders(self.formatException(record.exc_info))
        return json.dumps(line)

    def _without_folders(self, text: str) -> str:
        for folder in self._folders:
            text = text.replace(folder, "")
        return _FOLDERS.sub("", text)


def _folders_of(path: str) -> Iterator[str]:
    """Yield the folder of a path, as it was given and in full, each with its last slash."""
    for form in (Path(path), Path(path).absolute(), Path(path).resolve()):
        folder = form if form.is_dir() else form.parent
        if folder.name:
            yield f"{folder}/"


def set_log_format(log_format: LogFormat, stage: str, paths: Iterable[str] = ()) -> None:
    """Write stderr in this format from now on, in this process and its children.

    Args:
        log_format: text changes nothing.
        stage: name of this process in the lines.
        paths: of records that the command line names; their folders are removed from messages.
    """
    if log_format is not LogFormat.JSON:
        return
    os.environ[VARIABLE] = log_format.value
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(stage, paths))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _on_bug
    threading.excepthook = lambda bug: _on_bug(
        bug.exc_type, bug.exc_value or bug.exc_type(), bug.exc_traceback
    )


def _on_bug(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    logger.critical("a bug: %s", kind.__name__, exc_info=(kind, error, where))


def report_line(text: str, level: int = logging.ERROR) -> None:
    """Write one line for the user to stderr, in the chosen format."""
    if _is_json():
        logger.log(level, "%s", text.removeprefix("monitor: "))
    else:
        with contextlib.suppress(
            OSError, ValueError, AttributeError
        ):  # stderr is closed, full, or absent
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def _is_json() -> bool:
    return any(isinstance(h.formatter, JsonLines) for h in logging.getLogger().handlers)
