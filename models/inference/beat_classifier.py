"""The class of every beat: trees over its measures and a network over its window, joined.

The trees (`models.inference.beat_trees`) see the beat beside its patient's own past, the network
(`models.inference.classifier`) its window and a few numbers of that past. They err in different
patients. Their probabilities are joined by a weighted geometric mean, in which the trees count the
more, the longer the patient's longest intervals are beside the median one: where ectopic beats are
the rule, that median is theirs, and with it all that the network sees of the rhythm.

A beat of several leads is seen by the trees in two: in the lead in use and in its second lead
(`pipeline.scoring.lead_measures`), each beside what is usual there. A lead is the projection of the
heart's dipole on one direction. In one, a ventricular complex may look like a conducted one, or the
P wave be too flat to see; in two at once that is rare. The network sees the window of the lead in
use alone: in two it costs twice as much and names beats no better (``docs/models/trials.md``).

Last, no beat is S because the atria fibrillate: in atrial fibrillation intervals are irregular and
P waves absent, so many a conducted beat comes early, and there is no premature atrial beat. Where
ectopy is frequent, the intervals are as irregular, but the beats that come latest have their P
wave.

A beat's result never depends on its batch. Thread-safe: nothing changes after it is made.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.files.model_file import SHIPPED
from models.inference.beat_trees import BeatTrees
from models.inference.classifier import ClassifierScorer
from pipeline.constants import CLASSES
from pipeline.scoring.beat_measures import CONTEXT_COLUMNS, MEASURE_NAMES
from pipeline.signal.kernels.network import probabilities as kernel

Floats = NDArray[np.float32]

SHIPPED_DS1: Final = SHIPPED / "ds1"
"""Holds what is trained as that which ships, on DS1 alone: it has seen no patient of DS2."""

TREES_SHARE: Final = 0.3
"""Share of the trees in the logarithms of the probabilities, in a patient with even intervals."""

EVEN: Final = 0.85
UNEVEN: Final = 0.7
"""Median interval over the 90th percentile: intervals are even from `EVEN` on. At `UNEVEN` and
below the trees have all of the logarithms, and between the two a share in between."""

FIBRILLATES: Final = 0.5
"""Evidence of atrial fibrillation without P waves, natural logarithm of odds, at which half of S
goes to N. This number and those of the share are the ones with the highest F1, mean over the
patients of DS1 and svdb and over V and S, each named by classifiers of other patients
(``docs/models/trials.md``)."""

IN_USE: Final = 0.75
"""Of the logarithms of the trees' probabilities in two leads, the share of the lead in use, whose
signal is the better one. From 0.65 to 0.85 beats are named alike; with equal shares S of svdb is
named worse (``docs/models/trials.md``)."""

LEAST: Final = np.float32(1e-6)
"""No probability that is joined is lower."""

_N, _S = CLASSES.index("N"), CLASSES.index("S")
_RR_TO_MEDIAN: Final = MEASURE_NAMES.index("rr_to_median")
_RR_TO_Q90: Final = MEASURE_NAMES.index("rr_to_q90")
"""Logarithms of the interval beside these."""


class Parts(NamedTuple):
    """Probabilities of `CLASSES`, float32[B, 4], rows of sum 1."""

    network: Floats
    trees: Floats
    """In two leads, where there are two."""
    joined: Floats
    """Trees and network joined."""
    classifier: Floats
    """The same without S in atrial fibrillation: the result."""


class BeatClassifier:
    """Trees and network, ready to name beats."""

    def __init__(self, trees: BeatTrees, network: ClassifierScorer) -> None:
        self._trees = trees
        self._network = network
        self.name: Final = f"{network.name}, {trees.name}"

    @classmethod
    def load(cls) -> "BeatClassifier":
        """Return what ships.

        Raises:
            ArtifactError: anything is missing, altered, or made for something else.
        """
        return cls(BeatTrees.load(), ClassifierScorer.load())

    def probabilities(
        self, windows: Floats, measures: Floats, second: Floats | None = None
    ) -> Floats:
        """Return the probabilities of `CLASSES`, float32[B, 4], rows of sum 1.

        Args:
            windows: float32[B, 320] in [-1, 1]; B may be any number, 0 included.
            measures: float32[B, MEASURES], finite, see `pipeline.scoring.beat_measures`.
            second: the same in a second lead, rows of zeros of beats without one; None of none.

        Raises:
            ValueError: another shape, or a value that is not finite or outside its range.
        """
        return self.parts(windows, measures, second).classifier

    def parts(self, windows: Floats, measures: Floats, second: Floats | None = None) -> Parts:
        """Return what each part says, and all together; as `probabilities`."""
        trees = self._trees.probabilities(measures)
        if second is not None:
            rows = np.flatnonzero(second.any(axis=1))
            in_second = self._trees.probabilities(second[rows])
            share = np.full(rows.size, IN_USE, dtype=np.float32)
            trees[rows] = joined(trees[rows], in_second, share)
        network = self._network.classify(windows, measures.take(CONTEXT_COLUMNS, axis=1))
        both = joined(trees, network, trees_share(measures))
        return Parts(network, trees, both, without_fibrillation(both, measures[:, -1]))


Unseen = Callable[[str], BeatClassifier]
"""Returns a classifier that has not seen the patient of a record; raises `ArtifactError` where
there is none."""


def trees_share(measures: Floats) -> Floats:
    """Return how much the trees count for each beat, float32[B]: `TREES_SHARE` to 1.

    Where the intervals are not known, their measures are 0, as if they were even.
    """
    share: Floats = measures[:, _RR_TO_Q90] - measures[:, _RR_TO_MEDIAN]
    np.exp(share, out=share)  # the median interval over the 90th percentile
    kernel.share_between(share, EVEN, UNEVEN, TREES_SHARE)
    return share


def joined(one: Floats, other: Floats, share: Floats) -> Floats:
    """Return the probabilities of both together, float32[B, 4], rows of sum 1.

    Args:
        one: float32[B, 4],
        other: float32[B, 4], rows of sum 1.
        share: float32[B], that of ``one``.
    """
    logs = np.empty((2, *one.shape), dtype=np.float32)
    np.maximum(one, LEAST, out=logs[0])
    np.maximum(other, LEAST, out=logs[1])
    np.log(logs, out=logs)
    found: Floats = np.empty_like(logs[0])
    kernel.weigh(logs, share, found)
    np.exp(found, out=found)
    kernel.of_sum_one(found)
    return found


def without_fibrillation(probabilities: Floats, evidence: Floats) -> Floats:
    """Return probabilities, float32[B, 4], in which no beat is S because the atria fibrillate.

    The probability of S goes to N by as much as the rhythm is atrial fibrillation.

    Args:
        probabilities: of `CLASSES`.
        evidence: float32[B], the logarithm of the odds of atrial fibrillation without P waves,
            limited, as in `pipeline.scoring.beat_measures`.
    """
    odds = FIBRILLATES - evidence
    np.exp(odds, out=odds)
    found = np.empty_like(probabilities)
    kernel.move(probabilities, odds, _S, _N, found)
    return found
