"""Pictures of the alarms: a database over time."""

from pathlib import Path
from typing import Final

from models.evaluation.alarms.episodes import EpisodeResult
from models.evaluation.alarms.evaluate import AlarmResult
from models.evaluation.report.pictures import TimeLine, draw_time_lines

TIME_LINES: Final = {"vfdb": "alarms_vfdb.png"}
"""The picture of each database that has one."""

COLOURS: Final = {
    "VF": "tab:red",
    "VFIB": "tab:red",
    "VFL": "tab:red",
    "ventricular_fibrillation": "tab:red",
    "VT": "tab:orange",
    "ventricular_tachycardia": "tab:orange",
    "extreme_tachycardia": "tab:olive",
    "ASYS": "tab:blue",
    "asystole": "tab:blue",
    "extreme_bradycardia": "tab:cyan",
}


def draw_alarms(result: AlarmResult, folder: Path) -> list[Path]:
    """Draw reference and alarms over time into ``folder``, a picture for each database there.

    Raises:
        ConfigError: a file cannot be written.
    """
    drawn = []
    for name, picture in TIME_LINES.items():
        one = result.databases.get(name)
        if isinstance(one, EpisodeResult):
            lines = [
                TimeLine(
                    row.record,
                    [(episode.name, episode.begin_s, episode.end_s) for episode in row.reference],
                    [(alarm.kind, alarm.begin_s, alarm.end_s) for alarm in row.alarms],
                )
                for row in one.rows
            ]
            title = f"{name}: what the reference names above, our alarms below"
            draw_time_lines(folder / picture, title, lines, COLOURS)
            drawn.append(folder / picture)
    return drawn
