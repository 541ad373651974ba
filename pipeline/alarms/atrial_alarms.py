"""The alarm of atrial fibrillation. Pure: no clock, no I/O."""

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.atrial_fibrillation import BEGINS_ABOVE, KIND, AtrialRhythm, AtrialState
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.schema.public import Alert
from pipeline.scoring.beat import InLeads


class AtrialAlarms:
    """The alarm of atrial fibrillation of one stream."""

    def __init__(
        self,
        machine: AlarmStateMachine,
        fs_hz: float,
        settings: AlarmSettings,
        state: AtrialState,
    ) -> None:
        """Raise alarms in ``machine``.

        Raises:
            SnapshotError: the state is not one that the kernel can trust.
        """
        self._machine = machine
        self._rhythm = AtrialRhythm(settings, fs_hz, state)
        self._reason = f"irregular without P waves for {settings.atrial_fibrillation_delay_s:g} s"

    @property
    def evidence_without_p(self) -> float:
        """That of the latest beat, see `without_p_waves`; NaN where not known."""
        return self._rhythm.evidence_without_p

    def reset(self) -> None:
        """Start over: the next beat does not follow those before."""
        self._rhythm.reset()

    def take_turns(self) -> list[tuple[int, bool]]:
        """Return, once, where atrial fibrillation began (true) or ended, in order."""
        rhythm = self._rhythm
        turns = rhythm.turns
        if turns:
            rhythm.turns = []
        return turns

    def settled_to(self, position: int) -> int:
        """Return the sample before which no turn will be; see `AtrialState.settled_to`."""
        return self._rhythm.settled_to(position)

    @property
    def leads(self) -> int:
        """How many leads the beats are seen in."""
        return len(self._rhythm.state.leads)

    def on_beat(
        self,
        sample: int,
        rr_s: float,
        window: NDArray[np.float32],
        *,
        usable: bool,
        leads: InLeads | None = None,
    ) -> list[Alert]:
        """Take in a beat as `AtrialRhythm.on_beat` does."""
        alerts: list[Alert] = []
        for change in self._rhythm.on_beat(sample, rr_s, window, usable=usable, leads=leads):
            if change.active:
                alerts += self._machine.begin(
                    KIND,
                    sample,
                    self._reason,
                    begun_at=change.begun_at,
                    values={"evidence": round(change.evidence, 2), "limit_evidence": BEGINS_ABOVE},
                )
            else:
                alerts += self._machine.end(KIND, change.begun_at, "regular again, or P waves")
        return alerts

    @property
    def known_to(self) -> int:
        """The last sample at which `advance` has nothing to do, if no other beat comes."""
        return self._rhythm.known_to

    def advance(self, position: int) -> list[Alert]:
        """End the alarm if nothing has been known of the rhythm for `UNKNOWN_S`."""
        alerts: list[Alert] = []
        for change in self._rhythm.advance(position):
            alerts += self._machine.end(KIND, change.begun_at, "rhythm no longer known")
        return alerts
