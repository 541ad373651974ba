"""What the command line asks of a dashboard, on its way to the process that draws it."""

from dataclasses import dataclass
from enum import StrEnum


class Palette(StrEnum):
    """The colours of alarms, traces and badges."""

    USUAL = "usual"
    COLOUR_BLIND = "colour-blind"
    """That of Okabe and Ito, which people with any colour vision can tell apart."""


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """How a dashboard looks and sounds."""

    sound: bool = False
    """Whether it rings the terminal's bell."""
    palette: Palette = Palette.USUAL
    flash: bool = True
    """Whether alarms flash."""

    def arguments(self) -> list[str]:
        """Return the arguments of ``monitor watch`` that ask for it."""
        colours = [] if self.palette is Palette.USUAL else ["--palette", self.palette.value]
        sound = ["--sound"] if self.sound else []
        return [*sound, *colours, *([] if self.flash else ["--no-flash"])]
