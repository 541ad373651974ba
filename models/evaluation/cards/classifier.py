"""The card of the classifier."""

from typing import Final

from models.evaluation.cards.parts import HEAD, MITDB, ONE_DATABASE, SPEED, Reports, measured_on
from models.evaluation.protocols.beats import BeatsResult
from models.evaluation.protocols.classifier import COUNTING, ClassifierResult
from models.evaluation.report.beats import (
    alert_table,
    healthy_table,
    lead_table,
    name_table,
    part_table,
    reliability_table,
)
from models.evaluation.report.classifier import (
    class_record_table,
    classifier_targets,
    confusion_table,
)
from models.evaluation.report.documents import Bullets, Section
from models.evaluation.report.tables import facts_table, percent, speed, target_table


def classifier_card(reports: Reports) -> list[Section]:
    """Return the card of the classifier."""
    unseen = reports.interpatient
    classifier = unseen.classifier
    settings = {
        "parameters of the network": f"{classifier.parameters:,}",
        "trees": f"{classifier.trees:,}",
        "files, bytes": f"{classifier.file_bytes:,}",
        **classifier.training,
        **speed(classifier.us_per_beat),
    }
    return [
        Section(
            title="The classifier",
            level=1,
            blocks=[
                HEAD,
                "It names the class of every beat that can be analysed, with probabilities of N, "
                "S, V and F. Trees see the beat beside its patient's own past "
                "(`pipeline/scoring/beat_features.py`), of several leads in two "
                "(`lead_measures.py`), a one-dimensional ResNeXt the window of "
                "320 samples and a few numbers of that past; the two are joined "
                "(`models/inference/beat_classifier.py`). What ships was trained on DS1, svdb and "
                "records of the Challenge 2017 of which the rhythm alone is known. The figures "
                "of DS2 below are of one trained as it ships on the patients of DS1 alone. What "
                "else was tried is in [the trials](trials.md).",
            ],
        ),
        Section(title="Size, speed, training", blocks=[facts_table(settings), SPEED]),
        _unseen_patients(classifier),
        Section(title="Records", blocks=[class_record_table(classifier.classes.per_record)]),
        *([] if reports.beats is None else _patients_left_out(reports.beats)),
        _limits(classifier),
        Section(
            title="Sources",
            blocks=[
                Bullets(
                    [
                        "Xie, Girshick, Dollár, Tu, He: Aggregated Residual Transformations for "
                        "Deep Neural Networks. CVPR 2017.",
                        "Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection. "
                        "ICCV 2017.",
                        "Luo, Xiong, Liu, Sun: Adaptive Gradient Methods with Dynamic Bound of "
                        "Learning Rate. ICLR 2019.",
                        "de Chazal, O'Dwyer, Reilly: Automatic Classification of Heartbeats Using "
                        "ECG Morphology and Heartbeat Interval Features. IEEE Trans. Biomed. Eng. "
                        "51, 2004.",
                        MITDB,
                    ]
                )
            ],
        ),
        measured_on(
            {"classifier": unseen.machine}
            | ({} if reports.beats is None else {"patients left out": reports.beats.machine})
        ),
    ]


def _unseen_patients(classifier: ClassifierResult) -> Section:
    return Section(
        title="Unseen patients",
        blocks=[
            "The records of DS2 through the streaming front end, detector in the loop. Every "
            "detection that can be analysed is classified. Nothing was "
            "trained or chosen on them; but they had been measured before, with other choices: not "
            "a blind figure. How beats count:",
            Bullets(classifier.counting),
            target_table(classifier_targets(classifier)),
            "De Chazal, O'Dwyer and Reilly (2004) report, with the beats marked by hand: V "
            "sensitivity 77.7 %, positive predictivity 81.9 %; S 75.9 % and 38.5 %.",
            "What the beats of each class were called (- is a false detection; none: not detected, "
            "or not analysable):",
            confusion_table(classifier.classes.gross),
        ],
    )


_ALL_LEADS: Final = (
    "**One lead and all leads.** The same classifiers; of several leads, the trees see the one in "
    "use and a second one:"
)


def _patients_left_out(beats: BeatsResult) -> list[Section]:
    """Return the figures of classifiers that have not seen the patient, by database."""
    databases = beats.databases
    sections = [
        Section(
            title="Patients left out",
            blocks=[
                "`monitor evaluate beats`, from `beats.json`: DS2 by the classifier of DS1 alone, "
                "DS1 and svdb by cross-validation over four parts of the patients. How beats "
                "count, beyond what is said above:",
                Bullets([one for one in beats.counting if one not in COUNTING]),
                "The network, which is the baseline, the trees, both joined, and what is said in "
                "the end; sensitivity / positive predictivity in %, and average precision:",
                part_table(databases),
                "**How often a name is right.** Of the beats that get a name with about the same "
                "probability, the share that is of that class; a false detection is of none:",
                reliability_table(databases),
                *((_ALL_LEADS, lead_table(beats)) if beats.all_leads else ()),
            ],
        )
    ]
    for name, figures in databases.items():
        sections.append(
            Section(
                title=f"{name}, {len(figures.records)} records, {figures.hours:.2f} hours",
                level=3,
                blocks=[
                    name_table(figures),
                    "The live score, and false alerts an hour after the fifth minute and in the "
                    "first minute:",
                    alert_table(figures),
                    "What the beats of each class were called:",
                    confusion_table(figures.named.classes.gross),
                ],
            )
        )
    if beats.healthy is not None:
        sections.append(
            Section(
                title=f"Healthy people, {beats.healthy.records} records of normal rhythm",
                level=3,
                blocks=[healthy_table(beats.healthy)],
            )
        )
    return sections


def _limits(classifier: ClassifierResult) -> Section:
    fusions = classifier.classes.gross.confusion["F"]
    beats = sum(fusions.values())

    def named(name: str) -> str:
        """Return the share of the fusion beats that got a name."""
        return percent(fusions[name] / beats if beats else None)

    return Section(
        title="What it cannot see",
        blocks=[
            Bullets(
                [
                    "**The beat after.** The alert leaves half a second after the R peak; a "
                    "compensatory pause comes too late for it.",
                    f"**Fusion beats.** {named('F')} of them get their name; {named('N')} are "
                    f"called N, {named('V')} V.",
                    "**Paced beats** and whatever else is class Q: it has no name for them.",
                    ONE_DATABASE,
                ]
            )
        ],
    )
