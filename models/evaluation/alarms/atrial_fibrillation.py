"""Atrial fibrillation: alarms against the rhythms of mitdb, records against labels of CinC 2017.

On mitdb alarms and episodes are compared one by one and second by second (ANSI/AAMI EC57, as
``epicmp`` does), twice: with the time in atrial flutter left out on both sides, and with flutter
counted as fibrillation, as our rule does where it conducts irregularly. The weights were fitted on
DS1 and CinC 2017, nothing on DS2, whose figures were seen meanwhile. `monitor train
atrial-fibrillation` has the figures of records left out.

The alarms need no score, so the streams run without a scorer.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.atrial_beats import FIBRILLATION, FLUTTER, judge_record, record_evidence
from models.data.mitdb import DS1, DS2
from models.data.rhythms import Stretch, read_rhythms
from models.evaluation.alarms.bootstrap import Estimate, estimate
from models.evaluation.alarms.spans import Agreement, AlarmSpan, agree, overlaps, spans_of
from models.evaluation.alarms.wrong import WrongCall, wrong_alarm
from models.files.calibration import load_calibration
from pipeline.alarms.atrial_fibrillation import KIND, RECORD_ABOVE
from pipeline.signal.samples import in_blocks
from pipeline.stream.stream import Stream
from replay.lead_sets.asked import AskedLeads, read_asked

LEFT_OUT: Final = "left out"
COUNTED: Final = "counted as fibrillation"
"""What becomes of flutter."""

LABEL: Final = "af"
"""Folder of the records of CinC 2017 that fibrillate."""

LONG_S: Final = 60.0
"""A missed episode is named from here on: an alarm needs 30 s."""

_BLOCK_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AtrialRow:
    """One record of mitdb that fibrillates, by the reference or by ours; seconds."""

    record: str
    seconds: float
    fibrillation_s: float
    flutter_s: float
    alarms_s: float
    share: float | None
    """What ``status`` says at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtrialResult:
    """How alarms of atrial fibrillation agree with the rhythms of mitdb."""

    records: int
    hours: float
    agreement: dict[str, dict[str, Agreement]]
    """By records (DS1, DS2, all) and by what becomes of flutter."""
    wrong: list[WrongCall]
    rows: list[AtrialRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelResult:
    """How records of CinC 2017 are called: fibrillation against the rest."""

    records: int
    hours: float
    tp: int
    fn: int
    fp: int
    tn: int
    f1: Estimate
    called_of_label: dict[str, int]
    """Records called fibrillation, by their label."""
    wrong: list[WrongCall]


class _Record(NamedTuple):
    name: str
    seconds: float
    spans: list[AlarmSpan]
    named: list[Stretch]
    share: float | None

    def of(self, *names: str) -> list[Stretch]:
        return [stretch for stretch in self.named if stretch.name in names]


def evaluate_rhythms(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None], leads: AskedLeads = 0
) -> AtrialResult:
    """Return how the alarms agree with the rhythms of mitdb, by default of the first signal.

    Raises:
        InputError: a record is missing or unusable.
    """
    measured = []
    for name in records:
        on_step(f"mitdb {name}, atrial fibrillation")
        measured.append(_watched(folder / name, leads))
    groups = {"DS1": DS1, "DS2": DS2, "all": [one.name for one in measured]}
    return AtrialResult(
        records=len(measured),
        hours=round(sum(one.seconds for one in measured) / 3600.0, 2),
        agreement={
            group: _agreements([one for one in measured if one.name in names])
            for group, names in groups.items()
        },
        wrong=[call for one in measured for call in _wrong(one)],
        rows=[
            AtrialRow(
                record=one.name,
                seconds=round(one.seconds, 1),
                fibrillation_s=_length(one.of(FIBRILLATION)),
                flutter_s=_length(one.of(FLUTTER)),
                alarms_s=_length(one.spans),
                share=one.share,
            )
            for one in measured
            if one.spans or one.of(FIBRILLATION, FLUTTER)
        ],
    )


def evaluate_labels(
    folder: Path, records: Sequence[str], on_step: Callable[[str], None], leads: AskedLeads = 0
) -> LabelResult:
    """Return how ``records`` are called, which are named with their label and have one lead.

    Raises:
        InputError: a record is missing or unusable.
    """
    evidence, seconds = {}, 0.0
    for name in records:
        on_step(f"cinc17 {name}, atrial fibrillation")
        beats = judge_record(folder / name)
        evidence[name] = record_evidence(beats.evidence())
        seconds += beats.seconds
    called = {name: one > RECORD_ABOVE for name, one in evidence.items()}
    counts = [
        (float(is_af and one), float(is_af and not one), float(one and not is_af))
        for name, one in called.items()
        for is_af in [name.startswith(f"{LABEL}/")]
    ]
    tp, fn, fp = (int(sum(column)) for column in zip(*counts, strict=True))
    return LabelResult(
        records=len(called),
        hours=round(seconds / 3600.0, 2),
        tp=tp,
        fn=fn,
        fp=fp,
        tn=len(called) - tp - fn - fp,
        f1=estimate(counts, _f1, 3),
        called_of_label=dict(Counter(name.split("/")[0] for name, one in called.items() if one)),
        wrong=[
            WrongCall(
                record=f"cinc17/{name}",
                at_s=0.0,
                wrong="false atrial fibrillation" if one else "missed atrial fibrillation",
                ours=f"evidence {evidence[name]:.1f}, limit {RECORD_ABOVE:g}",
            )
            for name, one in called.items()
            if one != name.startswith(f"{LABEL}/")
        ],
    )


def _f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F1 from sums of true positives, false negatives and false positives."""
    return 2.0 * sums[:, 0] / (2.0 * sums[:, 0] + sums[:, 1] + sums[:, 2])


def _watched(record: Path, leads: AskedLeads) -> _Record:
    """Run leads of a record through a stream that is never scored."""
    info, samples = read_asked(record, leads)
    stream = Stream(record.name, info.fs_hz, load_calibration(), lambda: 0.0, leads=info.leads)
    alerts = []
    for block in in_blocks(samples, round(_BLOCK_S * info.fs_hz)):
        alerts += stream.take(block).alerts
    alerts += stream.finish().alerts
    seconds = samples.shape[-1] / info.fs_hz
    share, _ = stream.atrial_fibrillation()
    spans = spans_of(alerts, (KIND,), seconds)
    return _Record(record.name, seconds, spans, read_rhythms(record, seconds), share)


def _agreements(measured: Collection[_Record]) -> dict[str, Agreement]:
    return {
        LEFT_OUT: agree(
            (without(one.spans, one.of(FLUTTER)), one.of(FIBRILLATION)) for one in measured
        ),
        COUNTED: agree((one.spans, joined(one.of(FIBRILLATION, FLUTTER))) for one in measured),
    }


def without(spans: Sequence[AlarmSpan], stretches: Sequence[Stretch]) -> list[AlarmSpan]:
    """Return the parts of alarms that lie outside ``stretches``."""
    parts = list(spans)
    for stretch in stretches:
        parts = [
            replace(part, begin_s=a, sure_s=max(part.sure_s, a), end_s=b)
            for part in parts
            for a, b in (
                (part.begin_s, min(part.end_s, stretch.begin_s)),
                (max(part.begin_s, stretch.end_s), part.end_s),
            )
            if b > a
        ]
    return parts


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Return stretches in order, those that follow each other at once as one."""
    whole: list[Stretch] = []
    for stretch in stretches:
        if whole and stretch.begin_s <= whole[-1].end_s:
            whole[-1] = Stretch(whole[-1].name, whole[-1].begin_s, stretch.end_s)
        else:
            whole.append(stretch)
    return whole


def _wrong(one: _Record) -> Iterator[WrongCall]:
    """Yield alarms that touch neither fibrillation nor flutter, and long episodes without one."""
    named = one.of(FIBRILLATION, FLUTTER)
    for span in one.spans:
        if not any(overlaps(span, stretch) for stretch in named):
            yield wrong_alarm(f"mitdb/{one.name}", span)
    for stretch in one.of(FIBRILLATION):
        long = stretch.end_s - stretch.begin_s >= LONG_S
        if long and not any(overlaps(span, stretch) for span in one.spans):
            yield WrongCall(
                record=f"mitdb/{one.name}",
                at_s=round(stretch.begin_s, 2),
                wrong=f"missed atrial fibrillation of {stretch.end_s - stretch.begin_s:.0f} s",
                ours="no such alarm",
            )


def _length(pieces: Sequence[AlarmSpan] | Sequence[Stretch]) -> float:
    return round(sum(piece.end_s - piece.begin_s for piece in pieces), 1)
