"""How the hub of a run learns that the run ends: a pipe whose write end the run closes.

A run stops its sources before its hub, and the last beats may take longer to be scored than a
source may be silent. So the hub has to know that this silence is no alarm before it begins. A hub
that is started again inherits the same pipe, and a run that was killed has closed it.
"""

import os
import select
from collections.abc import Callable

from pipeline.errors import ConfigError


class RunEnd:
    """The run's side of the pipe."""

    def __init__(self) -> None:
        self.descriptor, self._write_end = os.pipe()
        """The read end, for hubs to inherit."""
        self._announced = False

    def announce(self) -> None:
        """Make every hub of the run know from now on."""
        if not self._announced:
            self._announced = True
            os.close(self._write_end)

    def close(self) -> None:
        """Close both ends; safe to call twice."""
        self.announce()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def end_of_run(descriptor: int | None) -> Callable[[], bool]:
    """Return a function that says whether the run ends; without a run it never does.

    Raises:
        ConfigError: there is no such descriptor.
    """
    if descriptor is None:
        return lambda: False
    try:
        os.fstat(descriptor)
    except OSError:
        raise ConfigError(f"--run-end: there is no descriptor {descriptor}") from None
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return lambda: bool(poller.poll(0))
