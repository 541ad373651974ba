"""The card of the live score."""

from collections.abc import Callable
from typing import Final

from models.evaluation.cards.parts import (
    HEAD,
    MITDB,
    ONE_DATABASE,
    Reports,
    measured_on,
    protocol_pictures,
)
from models.evaluation.protocols.interpatient import (
    InterpatientResult,
    UnseenFigures,
    UnseenResult,
)
from models.evaluation.report.documents import Bullets, Section
from models.evaluation.report.interpatient import (
    alert_table,
    live_score_targets,
    ranking_table,
    record_table,
)
from models.evaluation.report.tables import facts_table, number, percent, target_table, words

_OF_NOTE: Final = 3
"""Records named as the worst of their kind."""


def live_score_card(reports: Reports) -> list[Section]:
    """Return the card of the live score."""
    result = reports.interpatient
    settings = {
        **result.calibration,
        "false alerts an hour asked for below": result.knob,
        "threshold below": result.threshold,
    }
    return [
        Section(
            title="The live score",
            level=1,
            blocks=[
                HEAD,
                "One anomaly score a beat from three components that need no labels and use the "
                "past alone: the [student](student.md), which knows all patients; this patient's "
                "own usual beats; and rhythm. `pipeline/scoring/live_score.py` states how they are "
                "mixed. Scales and threshold were found on the patients of DS1:",
                facts_table(settings),
            ],
        ),
        _unseen_patients(result),
        Section(title="Records", blocks=[record_table(result.unseen)]),
        protocol_pictures("interpatient"),
        _limits(result.unseen),
        Section(
            title="Sources",
            blocks=[
                Bullets(
                    [
                        "de Chazal, O'Dwyer, Reilly: Automatic Classification of Heartbeats Using "
                        "ECG Morphology and Heartbeat Interval Features. IEEE Trans. Biomed. Eng. "
                        "51, 2004.",
                        "ANSI/AAMI EC57, Testing and Reporting Performance Results of Cardiac "
                        "Rhythm and ST Segment Measurement Algorithms, as WFDB's `bxb` carries out "
                        "its matching of beats.",
                        MITDB,
                    ]
                )
            ],
        ),
        measured_on({"live score": result.machine}),
    ]


def _unseen_patients(result: InterpatientResult) -> Section:
    unseen, gross = result.unseen, result.unseen.gross
    return Section(
        title="Unseen patients",
        blocks=[
            f"The {len(unseen.records)} records of DS2, {gross.hours:.2f} hours, through the "
            "streaming front end, detector in the loop. Nothing was trained or calibrated on them, "
            "and every number was chosen on DS1. But it is no blind test: after these records had "
            "been measured, the mix of the components was revised twice on DS1's evidence, the "
            "detector took low early beats that it had held for T waves (most of them here), and "
            "an alert became one of an episode, not of a beat, with fewer asked for by default: "
            "there had been three times as many false ones as were asked for. How beats count:",
            Bullets(result.counting),
            target_table(live_score_targets(unseen)),
            ranking_table(unseen),
            "Alerts at the threshold:",
            alert_table(unseen),
            f"{gross.false_alerts:,} false alerts, {gross.false_alerts_per_hour:.1f} an hour; "
            f"{gross.false_beats_per_hour:.1f} normal beats an hour called anomalous. "
            f"{percent(unseen.detection.sensitivity)} of the beats were detected, "
            f"{percent(unseen.detection.positive_predictivity)} of the detections are beats, "
            f"{percent(gross.not_analysable.share_of_detections)} of the detections could not "
            "be analysed. Alerts by kind, those of the signal included: "
            + ", ".join(f"{words(kind)} {n:,}" for kind, n in unseen.alerts.items())
            + ".",
        ],
    )


def _limits(unseen: UnseenResult) -> Section:
    """Return what the live score cannot see."""
    sensitivity = unseen.gross.sensitivity
    lowest = _worst(unseen, lambda one: one.ranking.auc, digits=3)
    most_false = _worst(unseen, lambda one: one.false_alerts_per_hour, digits=1, highest=True)
    return Section(
        title="What it cannot see",
        blocks=[
            Bullets(
                [
                    "**Ectopics that are the rule.** What is frequent in a patient becomes usual. "
                    f"{_record_apart(unseen)}",
                    "**Nearly normal beats.** Fusion beats close to the patient's own, and "
                    "supraventricular beats of usual shape that hardly come early: sensitivity to "
                    f"F {percent(sensitivity['F'])}, to S {percent(sensitivity['S'])}.",
                    "**Rhythms.** Each beat is scored by itself. Atrial fibrillation is an alarm "
                    "of its own; here its irregularity can raise the scores of normal beats.",
                    "**The beginning.** A patient's first beats are scored only by the components "
                    "that need not know the patient.",
                    "**Beats in noise.** What cannot be analysed has no score and raises no alert; "
                    "the stream says that it cannot be analysed.",
                    f"**All patients alike.** Lowest AUC: {lowest}. Most false alerts an hour: "
                    f"{most_false}.",
                    ONE_DATABASE + " Record 202 of DS2 comes from the man of record 201 of DS1.",
                ]
            )
        ],
    )


def _record_apart(unseen: UnseenResult) -> str:
    """Return how much of the record set apart is anomalous, and its AUC."""
    ((apart, _),) = unseen.without.items()
    for record in unseen.per_record:
        if record.record == apart:
            beats = record.figures.beats
            share = 1 - beats["N"] / sum(beats.values())
            return (
                f"In record {apart} {percent(share)} of the beats are anomalous; its AUC is "
                f"{number(record.figures.ranking.auc, 3)}."
            )
    return ""


def _worst(
    unseen: UnseenResult,
    figure: Callable[[UnseenFigures], float | None],
    *,
    digits: int,
    highest: bool = False,
) -> str:
    """Return the records with the lowest figures, or with the highest."""
    known = [
        (value, record.record)
        for record in unseen.per_record
        if (value := figure(record.figures)) is not None
    ]
    known.sort(key=lambda item: item[0], reverse=highest)
    return ", ".join(f"{name} ({number(value, digits)})" for value, name in known[:_OF_NOTE])
