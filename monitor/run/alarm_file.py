"""Alarm settings from a file: TOML, a name and a value a line."""

import os
import tomllib
from pathlib import Path
from typing import Final

from pipeline.alarms.settings import DEFAULTS, AlarmSettings, settings_of
from pipeline.errors import ConfigError

_MAX_BYTES: Final = 1 << 16


def load_alarm_settings(path: Path | None) -> AlarmSettings:
    """Return the alarm settings in the file ``path``; the defaults without one.

    Raises:
        ConfigError: the file cannot be read, is too long, is no TOML, or sets something that is
            refused.
    """
    if path is None:
        return DEFAULTS
    try:
        # O_NONBLOCK: nobody waits for whoever might write into a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            content = file.read(_MAX_BYTES + 1) or b""
    except OSError as error:
        raise ConfigError(f"cannot read the alarm settings {path}: {error.strerror}") from None
    if len(content) > _MAX_BYTES:  # half of it in force would be worse than none
        raise ConfigError(f"{path} is longer than 64 KiB: write lines like asystole_s = 4")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # tomllib lets int() and the stack speak
        raise ConfigError(f"{path} is no TOML: {error}; write lines like asystole_s = 4") from None
    try:
        return settings_of(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
