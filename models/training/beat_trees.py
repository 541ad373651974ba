"""Train the trees that name every beat: gradient boosting over the measures of beats.

    monitor train beats --data DIR

The patients are those of DS1 and of svdb. Of each record and class a limited number of beats is
drawn, so that neither the many normal beats nor the patients with many ectopic beats dominate; a
beat that is drawn has the weight of the square root of those that it stands for. Streams of heavy
ectopy (`models.data.heavy_ectopy`) made of the same records are drawn in the same way, with a
quarter of the weight.

scikit-learn grows the trees; they are then copied into arrays, which
`pipeline.signal.kernels.naming.trees` walks with the same result. scikit-learn is needed to train
alone (``pip install 'ecg-monitor[train]'``).
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.beat_cache import cached_beats, code_digest
from models.data.heavy_ectopy import KINDS, LEADING_BEATS, heavy_ectopy
from models.data.mitdb import DATABASE, DS1, database_folder
from models.data.streamed_beats import (
    Models,
    ReferenceBeats,
    StreamedBeats,
    follow,
    reference_of,
)
from models.files.beat_trees import (
    INPUT_NAMES,
    NODE_ARRAYS,
    BeatTreesArtifact,
    BeatTreesTraining,
    save_beat_trees,
)
from models.files.calibration import load_calibration
from models.inference.classifier import ClassifierScorer
from models.inference.student import StudentScorer
from pipeline.constants import CLASSES
from pipeline.errors import ConfigError
from pipeline.scoring.beat_features import BeatFeatures
from replay.headers import find_records

SVDB: Final = "svdb"
DATABASES: Final = (DATABASE, SVDB)
"""That there is something to train on in."""

MOST_OF_A_RECORD: Final = {"N": 250, "S": 200, "V": 200, "F": 100}
"""Beats drawn of a record or stream, by class."""

EVIDENCE_LIMIT: Final = 8.0
"""Of atrial fibrillation; beyond it there is nothing to learn."""


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


class MeasuredRecord(NamedTuple):
    """The beats of a record, or of a stream made of one, as the trees see them."""

    name: str
    measures: NDArray[np.float32]
    """float32[n, len(INPUT_NAMES)]."""
    classes: NDArray[np.str_]
    usable: NDArray[np.bool_]
    """Whether a beat can be analysed, and is one to learn from."""
    synthetic: bool = False


class DrawnBeats(NamedTuple):
    """What the trees are grown from, one row a beat."""

    measures: NDArray[np.float32]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]


def inputs_of(beats: StreamedBeats) -> NDArray[np.float32]:
    """Return what the trees see of a record's beats, float32[n, len(INPUT_NAMES)]."""
    measures = BeatFeatures().measure(beats.rr_s, beats.windows, beats.analysable, beats.held)
    fibrillation = np.clip(beats.fibrillation, -EVIDENCE_LIMIT, EVIDENCE_LIMIT)
    live = np.column_stack((beats.contributions, beats.score, fibrillation))
    return np.concatenate((measures, np.nan_to_num(live).astype(np.float32)), axis=1)


def measure_record(name: str, beats: StreamedBeats, reference: ReferenceBeats) -> MeasuredRecord:
    """Return a record's beats as the trees see them."""
    usable = beats.analysable & ~reference.flutter
    return MeasuredRecord(name, inputs_of(beats), reference.classes, usable)


def synthetic_streams(
    name: str, beats: StreamedBeats, reference: ReferenceBeats, models: Models
) -> Iterator[MeasuredRecord]:
    """Yield the streams of heavy ectopy that a record's beats make."""
    usable = beats.analysable & ~reference.flutter
    for seed, kind in enumerate(KINDS):
        rows = heavy_ectopy(reference.classes, usable, kind, seed)
        if not rows.size:
            continue
        streamed = follow(
            beats.extent,
            np.arange(rows.size),
            beats.rr_s[rows],
            beats.windows[rows],
            beats.analysable[rows],
            models,
        )
        learned_from = usable[rows]
        learned_from[:LEADING_BEATS] = False
        classes = reference.classes[rows]
        yield MeasuredRecord(name, inputs_of(streamed), classes, learned_from, synthetic=True)


def draw(records: Sequence[MeasuredRecord], synthetic_weight: float, seed: int) -> DrawnBeats:
    """Return beats drawn of each record and class, with their weights."""
    random = np.random.RandomState(seed)
    measures, classes, weights = [], [], []
    for record in records:
        for number, name in enumerate(CLASSES):
            rows = np.flatnonzero(record.usable & (record.classes == name))
            drawn = random.permutation(rows)[: MOST_OF_A_RECORD[name]]
            if not drawn.size:
                continue
            weight = np.sqrt(rows.size / drawn.size)
            weight *= synthetic_weight if record.synthetic else 1.0
            measures.append(record.measures[drawn])
            classes.append(np.full(drawn.size, number, dtype=np.int64))
            weights.append(np.full(drawn.size, weight))
    return DrawnBeats(np.concatenate(measures), np.concatenate(classes), np.concatenate(weights))


def measure_records(
    data: Path,
    databases: Collection[str],
    config: BeatTreesConfig,
    *,
    cache: Path | None,
    on_step: Callable[[str], None],
) -> tuple[dict[str, tuple[str, ...]], list[MeasuredRecord]]:
    """Return the names by database, and the records and streams that trees may be trained on.

    Args:
        data: folder with ``mitdb/`` and ``svdb/``.
        databases: of `DATABASES`; of mitdb the records are those of DS1.
        config: streams of heavy ectopy are made only if they have a weight.
        cache: folder that keeps streamed beats; None keeps none.
        on_step: called before each record.

    Raises:
        InputError: records are missing or unusable.
        ArtifactError: what ships is unusable.
    """
    folder = database_folder(data)
    names = {DATABASE: DS1, SVDB: tuple(p.stem for p in find_records(str(folder.parent / SVDB)))}
    names = {database: of for database, of in names.items() if database in databases}
    models = Models(StudentScorer.load(device="cpu"), ClassifierScorer.load(), load_calibration())
    code, records = code_digest() if cache else "", []
    for database, of in names.items():
        for name in of:
            on_step(f"{database} {name}")
            path = folder.parent / database / name
            beats = cached_beats(path, models, cache, code)
            reference = reference_of(path, beats)
            records.append(measure_record(name, beats, reference))
            if config.synthetic_weight:
                records += synthetic_streams(name, beats, reference, models)
    return names, records


def train_beat_trees(
    data: Path,
    description: Path,
    config: BeatTreesConfig,
    databases: Collection[str],
    *,
    cache: Path | None = None,
    on_step: Callable[[str], None] = lambda text: None,
) -> str:
    """Train trees and write them to ``description``, a ``.json`` path; return their SHA-256.

    Raises:
        InputError: records are missing or unusable.
        ConfigError: scikit-learn is not installed, or the files cannot be written.
    """
    names, records = measure_records(data, databases, config, cache=cache, on_step=on_step)
    return save_beat_trees(fit_beat_trees(records, config, names), description)


def fit_beat_trees(
    records: Sequence[MeasuredRecord],
    config: BeatTreesConfig,
    names: Mapping[str, tuple[str, ...]],
) -> BeatTreesArtifact:
    """Grow trees on records and streams.

    Args:
        records: with beats of every class.
        config: how.
        names: the records by database, for the description.

    Raises:
        ConfigError: scikit-learn is not installed, or a class has no beat.
    """
    try:
        import sklearn
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError:
        raise ConfigError(
            "scikit-learn is not installed: pip install 'ecg-monitor[train]'"
        ) from None
    drawn = draw(records, config.synthetic_weight, config.seed)
    counts = np.bincount(drawn.classes, minlength=len(CLASSES))
    if not counts.all():
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
    return BeatTreesArtifact(
        training=BeatTreesTraining(
            records=names,
            beats=dict(zip(CLASSES, counts.tolist(), strict=True)),
            rounds=config.rounds,
            leaves=config.leaves,
            learning_rate=config.learning_rate,
            ridge=config.ridge,
            least_in_leaf=config.least_in_leaf,
            features_at_a_split=config.features_at_a_split,
            synthetic_weight=config.synthetic_weight,
            seed=config.seed,
            library=f"scikit-learn {sklearn.__version__}",
            measures_sha256=hashlib.sha256(
                b"".join(np.ascontiguousarray(part).tobytes() for part in drawn)
            ).hexdigest(),
        ),
        tensors=arrays_of(grown),
    )


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
