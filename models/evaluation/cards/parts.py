"""Texts and sections that several cards share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from models.evaluation.protocols.beatgan import BeatganResult, TeacherResult
from models.evaluation.protocols.beats import BeatsResult
from models.evaluation.protocols.interpatient import InterpatientResult
from models.evaluation.report.documents import Block, Bullets, Picture, Section
from models.measure.provenance import Provenance

HEAD: Final = (
    "Written by `monitor evaluate cards` from the JSON beside it; no figure is typed by hand. For "
    "research only, not a medical device."
)
MITDB: Final = (
    "Moody, Mark: The impact of the MIT-BIH Arrhythmia Database. IEEE Eng. Med. Biol. Mag. 20, "
    "2001. Goldberger et al.: PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101, 2000."
)
ONE_DATABASE: Final = (
    "**Other leads and recorders.** All records are modified lead II of one database, recorded "
    "at 360 Hz."
)
SPEED: Final = (
    "Times are of the version and machine at the end of the page; what a beat takes in the present "
    "one, by itself and in batches, is in the [benchmarks](../benchmarks.md)."
)
PICTURES: Final = "pictures"
"""Folder of the pictures, beside the pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """The results that the cards show."""

    beatgan: BeatganResult
    interpatient: InterpatientResult
    teacher: TeacherResult | None = None
    """None where no teacher was measured."""
    beats: BeatsResult | None = None
    """None where no classifiers of patients left out were."""
    ablation: bool
    """Whether its page lies beside the cards."""


def measured_on(machines: Mapping[str, Provenance]) -> Section:
    """Return where each figure was measured."""
    return Section(
        title="Measured on",
        blocks=[Bullets([f"{name}: {machine}" for name, machine in machines.items()])],
    )


def protocol_pictures(protocol: str) -> Section:
    """Return the four pictures of a protocol."""
    captions = {
        "roc": "ROC curves",
        "precision_recall": "precision over sensitivity",
        "histograms": "histograms of the score by class",
        "worst_beats": "windows of the worst beats with their residuals as strips of heat",
    }
    pictures: list[Block] = [
        Picture(caption, f"{PICTURES}/{protocol}_{name}.png") for name, caption in captions.items()
    ]
    return Section(title="Pictures", blocks=pictures)
