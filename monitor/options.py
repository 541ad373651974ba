"""Options that commands of several files have in common."""

from pathlib import Path
from typing import Annotated, Optional

import typer

Data = Annotated[
    Optional[Path],  # noqa: UP045  (typer reads annotations at run time)
    typer.Option(help="Folder with mitdb/; $MONITOR_DATA, ./data or ../shared/data, by default."),
]
FalseAlerts = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--false-alerts-per-hour",
        help="Alerts an hour on normal single beats to accept, expected on patients like those of "
        "the calibration: fewer also means that fewer ectopic beats are told. Its own by default.",
    ),
]
Alarms = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="TOML file of alarm settings (docs/alarms.md); the defaults without it."),
]
Student = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="A student.json; the one that ships by default."),
]
