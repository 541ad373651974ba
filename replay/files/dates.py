"""When a recording began, as the headers of files say it. Pure.

A date that is not there or cannot be is None: it is beside the point of a recording.
"""

import re
from datetime import datetime
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun",
                  "jul", "aug", "sep", "oct", "nov", "dec")  # fmt: skip

_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d{1,6})?", re.ASCII)
_DATE = re.compile(r"(\d{1,2})([/.-])(\d{1,2}|[A-Za-z]{3})\2(\d{4})", re.ASCII)


def wfdb_start(text: str) -> datetime | None:
    """Return the time in the last fields of a record line.

    header(5) has ``12:33:59 12/05/2020``, the challenges of 2020 and 2021 ``12-May-2020 12:33:59``.
    """
    time, date = _TIME.search(text), _DATE.search(text)
    if time is None or date is None:
        return None
    month = date[3].lower()
    number = _MONTHS.index(month) + 1 if month in _MONTHS else int(month) if month.isdigit() else 0
    fraction_us = round(float(time[4] or 0) * 1e6)
    return _datetime(int(date[4]), number, int(date[1]), time, min(fraction_us, 999_999))


def edf_start(date: str, time: str) -> datetime | None:
    """Return the time in the fields ``dd.mm.yy`` and ``hh.mm.ss`` of an EDF header.

    None for 1 January 1985, which anonymous files have.
    """
    day, clock = (re.fullmatch(r"(\d\d)\D(\d\d)\D(\d\d)", field.strip()) for field in (date, time))
    if day is None or clock is None or day.groups() == ("01", "01", "85"):
        return None
    year = int(day[3]) + (1900 if int(day[3]) >= 85 else 2000)
    return _datetime(year, int(day[2]), int(day[1]), clock)


def _datetime(
    year: int, month: int, day: int, clock: re.Match[str], microsecond: int = 0
) -> datetime | None:
    try:
        return datetime(year, month, day, int(clock[1]), int(clock[2]), int(clock[3]), microsecond)
    except ValueError:
        return None
