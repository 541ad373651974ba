"""Train the trees of the classifier: gradient boosting over the measures of beats.

The beats are those of `models.data.training_beats`. Of each record and class a limited number of
beats is drawn, so that neither the many normal beats nor the patients with many ectopic beats
dominate; a beat that is drawn has the weight of the square root of those that it stands for. Beats
of another view of a record have half of the weight, of streams of heavy ectopy a quarter.

Beats of records of which the rhythm alone is known have the weights of `RHYTHM_WEIGHTS`. A few of
them are ventricular all the same: so trees are first grown without these records, and what they
surely take for ventricular in them is left out. What else they doubt in records of normal rhythm is
mostly motion of the electrodes, and muscle. It is little among many plain beats, and there is none
like it in the annotated records: so these beats come once more, as a record of their own.

scikit-learn grows the trees; they are then copied into arrays, of which
`pipeline.signal.kernels.network.trees` makes the same result. scikit-learn is needed to train
alone (``pip install 'ecg-monitor[train]'``).
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.training_beats import (
    FIBRILLATION,
    NORMAL_RHYTHM,
    OTHER_VIEW,
    RHYTHMS,
    STREAM,
    TrainingRecord,
)
from models.files.beat_trees import (
    INPUT_COLUMNS,
    INPUT_NAMES,
    NODE_ARRAYS,
    BeatTreesArtifact,
    BeatTreesTraining,
)
from pipeline.constants import CLASSES
from pipeline.errors import ConfigError

MOST_OF_A_RECORD: Final = {"N": 250, "S": 200, "V": 200, "F": 100}
"""Beats drawn of a record or stream, by class."""

RHYTHM_WEIGHTS: Final = {NORMAL_RHYTHM: 0.05, FIBRILLATION: 0.3}
"""Of a beat of a record of which the rhythm alone is known, beside one that is annotated."""

VIEW_WEIGHT: Final = 0.5
"""Of a beat of another view of a record: it is the same heart again."""

SURELY_VENTRICULAR: Final = {NORMAL_RHYTHM: 0.9, FIBRILLATION: 0.3}
"""A beat of such a record is left out where V and F are together as probable as this: in a record
that experts call normal there is hardly any."""

DOUBTFUL: Final = 0.7
"""A beat of a record of normal rhythm is doubted where N is less probable than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatTreesConfig:
    """How the trees are grown."""

    rounds: int = 120
    leaves: int = 8
    learning_rate: float = 0.1
    ridge: float = 10.0
    least_in_leaf: int = 50
    features_at_a_split: float = 0.2
    synthetic_weight: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.rounds < 1 or self.leaves < 2 or not 0.0 <= self.synthetic_weight <= 1.0:
            raise ConfigError(f"cannot grow trees by {self}")


class DrawnBeats(NamedTuple):
    """What the trees are grown from, one row a beat."""

    measures: NDArray[np.float32]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]


def draw(records: Sequence[TrainingRecord], synthetic_weight: float, seed: int) -> DrawnBeats:
    """Return beats drawn of each record and class, with their weights."""
    random = np.random.RandomState(seed)
    measures, classes, weights = [], [], []
    for record in records:
        for number, name in enumerate(CLASSES):
            rows = record.rows(number)
            drawn = random.permutation(rows)[: MOST_OF_A_RECORD[name]]
            if not drawn.size:
                continue
            stands_for = float(np.sqrt(rows.size / drawn.size))
            weight = RHYTHM_WEIGHTS.get(record.kind, stands_for)
            weight *= {STREAM: synthetic_weight, OTHER_VIEW: VIEW_WEIGHT}.get(record.kind, 1.0)
            measures.append(record.measures[drawn][:, INPUT_COLUMNS])
            classes.append(np.full(drawn.size, number, dtype=np.int64))
            weights.append(np.full(drawn.size, weight))
    return DrawnBeats(np.concatenate(measures), np.concatenate(classes), np.concatenate(weights))


def fit_beat_trees(
    records: Sequence[TrainingRecord],
    config: BeatTreesConfig,
    names: Mapping[str, tuple[str, ...]],
) -> BeatTreesArtifact:
    """Grow trees on records and streams.

    Args:
        records: with beats of every class; beats of a rhythm as `beats_to_learn` returns them.
        config: how.
        names: the records by database, for the description.

    Raises:
        ConfigError: scikit-learn is not installed, or a class has no beat.
    """
    drawn = draw(records, config.synthetic_weight, config.seed)
    grown, library = _grown(drawn, config)
    counts = np.bincount(drawn.classes, minlength=len(CLASSES)).tolist()
    return BeatTreesArtifact(
        training=BeatTreesTraining(
            records=names,
            beats=dict(zip(CLASSES, counts, strict=True)),
            rounds=config.rounds,
            leaves=config.leaves,
            learning_rate=config.learning_rate,
            ridge=config.ridge,
            least_in_leaf=config.least_in_leaf,
            features_at_a_split=config.features_at_a_split,
            synthetic_weight=config.synthetic_weight,
            rhythm_weights=RHYTHM_WEIGHTS,
            seed=config.seed,
            library=library,
            measures_sha256=hashlib.sha256(
                b"".join(np.ascontiguousarray(part).tobytes() for part in drawn)
            ).hexdigest(),
        ),
        tensors=arrays_of(grown),
    )


def beats_to_learn(
    records: Sequence[TrainingRecord], config: BeatTreesConfig
) -> list[TrainingRecord]:
    """Return the records, those of a rhythm without the beats that are ventricular all the same.

    Each record of normal rhythm is followed by one of its doubted beats, where it has any.

    Raises:
        ConfigError: as `fit_beat_trees`.
    """
    annotated = [record for record in records if record.kind not in RHYTHMS]
    if len(annotated) == len(records):
        return annotated
    grown, _ = _grown(draw(annotated, config.synthetic_weight, config.seed), config)
    normal, ventricular = CLASSES.index("N"), [CLASSES.index(name) for name in "VF"]
    kept = list(annotated)
    for record in records:
        if record.kind in RHYTHMS:
            found = grown.predict_proba(record.measures[:, INPUT_COLUMNS])
            least = SURELY_VENTRICULAR[record.kind]
            usable = record.usable & (found[:, ventricular].sum(axis=1) < least)
            kept.append(dataclasses.replace(record, usable=usable))
            doubted = usable & (found[:, normal] < DOUBTFUL)
            if record.kind == NORMAL_RHYTHM and doubted.any():
                kept.append(dataclasses.replace(record, usable=doubted))
    return kept


def _grown(drawn: DrawnBeats, config: BeatTreesConfig) -> tuple[Any, str]:
    """Return a fitted ``HistGradientBoostingClassifier``, and the library and its version."""
    try:
        import sklearn
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError:
        raise ConfigError(
            "scikit-learn is not installed: pip install 'ecg-monitor[train]'"
        ) from None
    if not np.bincount(drawn.classes, minlength=len(CLASSES)).all():
        raise ConfigError("the records to train on lack beats of a class: N, S, V and F are needed")
    grown = HistGradientBoostingClassifier(
        max_iter=config.rounds,
        max_leaf_nodes=config.leaves,
        learning_rate=config.learning_rate,
        l2_regularization=config.ridge,
        min_samples_leaf=config.least_in_leaf,
        max_features=config.features_at_a_split,
        early_stopping=False,
        random_state=config.seed,
    ).fit(drawn.measures, drawn.classes, sample_weight=drawn.weights)
    return grown, f"scikit-learn {sklearn.__version__}"


def arrays_of(grown: Any) -> dict[str, NDArray[np.float32]]:
    """Return the trees of a fitted ``HistGradientBoostingClassifier`` as arrays.

    A threshold becomes the highest float32 that is not above it: for float32 measures that is the
    same question.
    """
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in NODE_ARRAYS}
    roots, first = [], 0
    for of_round in grown._predictors:
        for tree in of_round:
            nodes = tree.nodes
            leaf = nodes["is_leaf"].astype(bool)
            roots.append(first)
            parts["feature"].append(np.where(leaf, -1, nodes["feature_idx"]))
            parts["threshold"].append(_at_most(np.where(leaf, 0.0, nodes["num_threshold"])))
            parts["left"].append(np.where(leaf, 0, nodes["left"].astype(np.int64) + first))
            parts["right"].append(np.where(leaf, 0, nodes["right"].astype(np.int64) + first))
            parts["value"].append(np.where(leaf, nodes["value"], 0.0))
            first += nodes.size
    arrays = {name: np.concatenate(part).astype(np.float32) for name, part in parts.items()}
    assert arrays["feature"].max() < len(INPUT_NAMES)
    arrays["roots"] = np.array(roots, dtype=np.float32)
    arrays["baseline"] = grown._baseline_prediction.reshape(-1).astype(np.float32)
    return arrays


def _at_most(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the highest float32 not above each value."""
    rounded = values.astype(np.float32)
    lower = np.nextafter(rounded, np.float32(-np.inf))
    found: NDArray[np.float32] = np.where(rounded.astype(np.float64) > values, lower, rounded)
    return found
