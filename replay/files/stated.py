"""What a person says about a file that does not say it: sampling rate, unit, columns."""

from dataclasses import dataclass
from typing import Final

from pipeline.constants import SAMPLING_RATE_LIMITS_HZ
from pipeline.errors import ConfigError, InputError
from replay.files.regular import quoted

UNITS: Final = {
    "nv": "nV", "uv": "uV", "µv": "uV", "μv": "uV", "mv": "mV", "v": "V",
    "microvolt": "uV", "microvolts": "uV", "millivolt": "mV", "millivolts": "mV",
    "volt": "V", "volts": "V",
}  # fmt: skip
"""Units of voltage as files write them, in small letters, and as headers here have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Sampling rate, unit and columns of files that state none; checked."""

    fs_hz: float | None = None
    unit: str | None = None
    """``mV``, ``uV`` or ``V``."""
    columns: tuple[str, ...] = ()
    """Names of columns, or of variables, or numbers from 0; none for all."""

    def __post_init__(self) -> None:
        low, high = SAMPLING_RATE_LIMITS_HZ
        if self.fs_hz is not None and not low <= self.fs_hz <= high:
            raise ConfigError(f"--fs {self.fs_hz:g}: {low:g} to {high:,.0f} Hz; is it in Hz?")
        if self.unit is not None and self.unit.lower() not in UNITS:
            raise ConfigError(f"--unit {quoted(self.unit)}: write mV, uV or V")
        if len(set(self.columns)) < len(self.columns) or "" in self.columns:
            raise ConfigError(f"--column {','.join(self.columns)!r}: each column once, by its name")

    @classmethod
    def of(
        cls, fs_hz: float | None = None, unit: str | None = None, columns: str | None = None
    ) -> "Stated":
        """Return what options say; ``columns`` have commas between them.

        Raises:
            ConfigError: a rate out of range, an unknown unit, a column twice.
        """
        names = () if columns is None else tuple(name.strip() for name in columns.split(","))
        return cls(fs_hz=fs_hz, unit=unit, columns=names)

    def arguments(self) -> list[str]:
        """Return the options that state the same."""
        options = {
            "--fs": None if self.fs_hz is None else repr(self.fs_hz),
            "--unit": self.unit,
            "--column": ",".join(self.columns) or None,
        }
        return [word for name, text in options.items() if text for word in (name, text)]

    def rate_hz(self, found_hz: float | None, where: str, *, unit_missing: bool = False) -> float:
        """Return the rate that a file has, or the one stated where it has none.

        With ``unit_missing``, the unit is asked for in the same line as the rate.

        Raises:
            InputError: neither has one, or they differ by more than a thousandth.
        """
        if found_hz is None:
            if self.fs_hz is None and unit_missing:
                raise InputError(
                    f"{where} does not state its sampling rate and its unit: "
                    "give them with --fs HZ and --unit mV, uV or V"
                )
            if self.fs_hz is None:
                raise InputError(f"{where} does not state its sampling rate: give it with --fs")
            return self.fs_hz
        if self.fs_hz is not None and abs(self.fs_hz - found_hz) > 1e-3 * found_hz:
            raise InputError(
                f"{where} has {found_hz:.6g} Hz, and --fs says {self.fs_hz:g}: leave --fs out"
            )
        return found_hz

    def unit_or(self, nothing: str) -> str:
        """Return the unit that is stated, or ``nothing``."""
        return nothing if self.unit is None else UNITS[self.unit.lower()]

    def unit_of(self, found: str, where: str) -> str:
        """Return the unit that a signal has, or the one stated where it has none.

        Raises:
            InputError: neither has one, or they differ.
        """
        known = UNITS.get(found.lower(), found)
        if not found:
            if self.unit is None:
                raise InputError(
                    f"{where} does not state its unit: give it with --unit mV, uV or V"
                )
            return UNITS[self.unit.lower()]
        if self.unit is not None and known in UNITS.values() and known != UNITS[self.unit.lower()]:
            raise InputError(
                f"{where} is in {quoted(found)}, and --unit says {self.unit}: leave --unit out"
            )
        return known


NOTHING: Final = Stated()
"""Nothing is stated: a file has to say it all."""
