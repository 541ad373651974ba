"""Tachycardias of real patients whose beats are named otherwise, and motion named like them."""

from pathlib import Path

import pytest

from models.evaluation.alarms.detection import shipped
from models.evaluation.alarms.spans import LETHAL, TACHYCARDIA, AlarmSpan, spans_of
from pipeline.schema.public import Alert
from pipeline.signal.samples import in_blocks
from pipeline.stream.embedded import EmbeddedRunner
from replay.records import read_lead
from tests.support.databases import database


def tachycardias(record: str, begin_s: float, end_s: float) -> list[AlarmSpan]:
    """Return the alarms of ventricular tachycardia of a part of a record of vfdb, as a stream."""
    alerts = alerts_of(database("vfdb") / record, begin_s, end_s)
    return spans_of(alerts, (TACHYCARDIA,), end_s - begin_s)


def alerts_of(record: Path, begin_s: float, end_s: float) -> list[Alert]:
    """Return the alerts of a part of a record, as a stream."""
    info, samples = read_lead(record, 0)
    part = samples[round(begin_s * info.fs_hz) : round(end_s * info.fs_hz)]
    scorer, config = shipped()
    runner = EmbeddedRunner(record.name, info.fs_hz, scorer, config)
    alerts: list[Alert] = []
    for outcome in runner.run(in_blocks(part, round(info.fs_hz))):
        alerts += outcome.alerts
    return alerts


@pytest.mark.parametrize(("record", "onset_s"), [("428", 1923.5), ("611", 1196.2)])
def test_tachycardia_whose_beats_are_named_otherwise_is_told(record: str, onset_s: float) -> None:
    """Most are named supraventricular or fusion beats; its alarm comes within ten seconds."""
    found = tachycardias(record, onset_s - 60.0, onset_s + 12.0)
    assert found
    assert 60.0 < found[0].sure_s < 70.0


@pytest.mark.parametrize(("record", "onset_s"), [("428", 1926.0), ("611", 1200.0)])
def test_stream_that_begins_in_a_tachycardia_tells_it(record: str, onset_s: float) -> None:
    """Nothing is known of the patient, and the beats are wide: within ten seconds."""
    found = tachycardias(record, onset_s, onset_s + 12.0)
    assert found
    assert found[0].sure_s < 10.0


@pytest.mark.parametrize("record", ["118e_6", "118e00"])
def test_motion_on_a_sinus_rhythm_is_no_tachycardia(record: str) -> None:
    """Its complexes are named ventricular at 140 bpm; that nothing is known is an alarm."""
    alerts = alerts_of(database("nstdb") / record, 240.0, 665.0)
    assert spans_of(alerts, LETHAL, 425.0) == []
    assert "unmonitored" in {alert.kind for alert in alerts}
