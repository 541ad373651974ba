"""The live score: learned from one patient, robust to ectopics, causal, explained."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.constants import CLASSES
from pipeline.errors import ConfigError, SnapshotError
from pipeline.schema.state import decode, encode
from pipeline.scoring import live_score
from pipeline.scoring.live_score import (
    CLASS_LIMIT,
    CLASS_WEIGHT,
    COMPONENTS,
    LEARNING_BEATS,
    LIMITS,
    WEIGHTS,
    LiveScoreConfig,
    LiveScoreState,
    Scale,
    Verdict,
    class_contribution,
)
from pipeline.scoring.reason import reason_of, wrong_ticks
from pipeline.scoring.rolling_quantiles import RollingState, series_of
from pipeline.scoring.typical import ORDINARY, TYPICAL_WEIGHT
from pipeline.signal.kernels.scoring import series as kernel_series

CONFIG = LiveScoreConfig(
    scales={
        "model": Scale(median=-4.0, p95=-2.0),
        "own": Scale(median=0.0, p95=0.5),
        "shape": Scale(median=0.0, p95=0.5),
        "qrs": Scale(median=0.0, p95=0.5),
        "early": Scale(median=0.0, p95=0.15),
        "family": Scale(median=0.0, p95=0.15),
        "late": Scale(median=0.0, p95=0.15),
    },
    threshold=4.0,
    learning_threshold=1.4,
)
T = np.arange(320)
EVEN = np.array([0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3], dtype=np.float32)
"""As probably N as not: the class contributes nothing."""


class LiveScore(live_score.LiveScore):
    """The live score of beats whose class is undecided unless it is given."""

    def score(
        self,
        window: NDArray[np.float32],
        rr_s: float,
        model_score: float,
        probabilities: NDArray[np.float32] = EVEN,
    ) -> Verdict:
        """Score a beat."""
        return super().score(window, rr_s, model_score, probabilities)


def normal(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a window of this patient's usual beat."""
    beat = np.exp(-(((T - 140) / 6.0) ** 2)) + 0.3 * np.exp(-(((T - 230) / 20.0) ** 2))
    return (2 * beat - 1 + rng.normal(0, 0.02, T.size)).astype(np.float32)


def ectopic(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a window of a wide beat."""
    beat = np.exp(-(((T - 150) / 25.0) ** 2)) - 0.7 * np.exp(-(((T - 215) / 30.0) ** 2))
    return (1.2 * beat - 0.2 + rng.normal(0, 0.02, T.size)).astype(np.float32)


def surely(name: str, probability: float = 1.0) -> NDArray[np.float32]:
    """Return probabilities of the classes, of one this much, of the others alike."""
    found = np.full(len(CLASSES), (1.0 - probability) / 3, dtype=np.float32)
    found[CLASSES.index(name)] = probability
    return found


def learned(rng: np.random.Generator, ectopics: int = 0) -> LiveScore:
    """Return a score that has learned from 16 beats, so many of them ectopic, anywhere.

    Ectopic beats come early and are harder to reconstruct, as ventricular ones are. From the third
    of a run on they are not learned from: other beats take their place.
    """
    live = LiveScore(CONFIG)
    wide = set(rng.permutation(LEARNING_BEATS)[:ectopics].tolist())
    for n in range(2 * LEARNING_BEATS):
        if not live.learning:
            break
        if n in wide:
            live.score(ectopic(rng), 0.5, 0.2)
        else:
            live.score(normal(rng), 0.8, 0.03)
    assert not live.learning
    return live


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_a_minority_of_ectopics_while_learning_does_no_harm(seed: int, ectopics: int) -> None:
    """With up to 5 of 16 first beats ectopic, ectopic is anomalous later and normal is not."""
    rng = np.random.default_rng(seed)
    live = learned(rng, ectopics)

    assert not live.score(normal(rng), 0.8, 0.03).anomalous
    assert live.score(ectopic(rng), 0.8, 0.03).anomalous


def test_anomalous_beats_never_move_the_baseline() -> None:
    """However many ectopic beats come early, they stay anomalous and the normal beat usual."""
    rng = np.random.default_rng(1)
    live = learned(rng)
    for _ in range(300):
        assert live.score(ectopic(rng), 0.5, 0.03).anomalous
        assert not live.score(normal(rng), 1.1, 0.03).anomalous


def test_what_is_learned_does_not_depend_on_the_threshold() -> None:
    """Asking for fewer alerts changes which beats alert, and no score."""
    scores = []
    for threshold in (1.0, 9.0):
        rng = np.random.default_rng(7)
        config = LiveScoreConfig(
            scales=CONFIG.scales, threshold=threshold, learning_threshold=threshold
        )
        live = LiveScore(config)
        beats = [ectopic(rng) if rng.random() < 0.3 else normal(rng) for _ in range(80)]
        scores.append(
            [live.score(beat, float(rng.uniform(0.5, 1.0)), 0.03).score for beat in beats]
        )

    assert scores[0] == scores[1]


def test_a_change_for_good_becomes_usual() -> None:
    """A new shape in the old rhythm, as of a moved electrode, alerts for minutes, not hours."""
    rng = np.random.default_rng(8)
    live = learned(rng)
    for _ in range(400):
        live.score(normal(rng), 0.8, 0.03)
    verdicts = [live.score(ectopic(rng), 0.8, 0.03).anomalous for _ in range(300)]

    assert all(verdicts[:10])
    assert not any(verdicts[150:])


def test_tachycardia_does_not_become_usual_while_it_lasts() -> None:
    """After two minutes at 180 bpm its beats are as anomalous as at first, and others usual."""
    rng = np.random.default_rng(11)
    live = learned(rng)
    for _ in range(200):
        live.score(normal(rng), 0.8, 0.03)
    tachycardia = [live.score(ectopic(rng), 0.33, 0.03) for _ in range(360)]

    assert all(verdict.shape.unusual and verdict.anomalous for verdict in tachycardia)
    assert not any(verdict.held for verdict in tachycardia[:2])
    assert all(verdict.held for verdict in tachycardia[2:])
    assert tachycardia[-1].score == pytest.approx(tachycardia[2].score, rel=0.1)
    sinus = [live.score(normal(rng), 0.8, 0.03) for _ in range(20)]
    assert not any(verdict.anomalous for verdict in sinus)


def test_fast_rhythm_of_usual_beats_is_learned() -> None:
    """A sinus tachycardia changes the rate that is usual."""
    rng = np.random.default_rng(12)
    live = learned(rng)
    for _ in range(200):
        assert not live.score(normal(rng), 0.4, 0.03).held
    live.score(normal(rng), 0.4, 0.03)
    assert live.raw["early"] < 0.01


def test_stream_that_begins_in_a_tachycardia_learns_the_rhythm_after_it() -> None:
    """Its wide fast beats are no baseline; sinus beats are."""
    rng = np.random.default_rng(13)
    live = LiveScore(CONFIG)
    for _ in range(60):
        live.score(ectopic(rng), 0.33, 0.03)
    assert live.learning
    for _ in range(2 * LEARNING_BEATS):
        live.score(normal(rng), 0.8, 0.03)
    assert not live.learning
    assert not live.score(normal(rng), 0.8, 0.03).shape.unusual
    assert live.score(ectopic(rng), 0.8, 0.03).shape.unusual


def test_it_takes_more_in_a_patient_whose_every_beat_is_strange() -> None:
    """The same deviation scores less where ordinary beats score high already."""
    strange = []
    for usual_error in (0.02, 0.12):
        rng = np.random.default_rng(10)
        live = LiveScore(CONFIG)
        for _ in range(60):
            live.score(normal(rng), 0.8, usual_error)
        live.score(ectopic(rng), 0.5, 0.9)
        strange.append(live.contributions["typical"])

    assert strange[1] < strange[0] <= 0.0


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_what_is_learned_depends_on_no_class(seed: int) -> None:
    """Whatever the classifier says, the patient's usual beats are the same; the score moves."""
    outcomes = []
    for name in ("N", "V"):
        rng = np.random.default_rng(seed)
        live = LiveScore(CONFIG)
        for _ in range(60):
            beat = ectopic(rng) if rng.random() < 0.3 else normal(rng)
            verdict = live.score(beat, float(rng.uniform(0.5, 1.0)), 0.03, surely(name))
        rest = {part: value for part, value in live.contributions.items() if part != "class"}
        outcomes.append((encode(1, live.state), rest, verdict.shape, verdict.held))

    assert outcomes[0] == outcomes[1]


def test_a_beat_of_usual_shape_that_is_surely_ectopic_is_anomalous() -> None:
    """However early it comes, by shape and prematurity alone it would pass."""
    rng = np.random.default_rng(20)
    live = learned(rng)
    for _ in range(50):
        live.score(normal(rng), 0.8, 0.03, surely("N"))

    for name in "SVF":
        undecided = learned(np.random.default_rng(21)).score(normal(rng), 0.55, 0.03)
        assert not undecided.anomalous
        verdict = live.score(normal(rng), 0.55, 0.03, surely(name))
        assert verdict.anomalous
        assert verdict.contributions["class"] == CLASS_WEIGHT * CLASS_LIMIT


def test_a_strange_window_that_is_surely_n_is_not_anomalous() -> None:
    """A shape that differs somewhat raises no alert then; a very strange one still does."""
    rng = np.random.default_rng(22)
    live = learned(rng)

    for _ in range(5):
        strange = np.float32(0.85) * normal(rng) + np.float32(0.15) * ectopic(rng)
        assert live.score(strange, 0.8, 0.3).anomalous
        assert not live.score(strange, 0.8, 0.3, surely("N")).anomalous
    assert live.score(ectopic(rng), 0.4, 0.9, surely("N")).anomalous


def test_a_class_of_fifteen_to_one_is_as_sure_as_any() -> None:
    """Either way; four to one counts about half of that."""
    for name, sign in (("N", -1.0), ("S", 1.0)):
        sure, half = (_odds(odds, name) for odds in (15.0, 4.0))
        assert class_contribution(sure) == class_contribution(surely(name))
        assert class_contribution(half) == pytest.approx(sign * 3.0 * np.log(4.0), rel=1e-5)


def _odds(odds: float, name: str) -> NDArray[np.float32]:
    """Return probabilities by which N is so much more probable than S, or S than N."""
    sure = odds / (1.0 + odds)
    normal = sure if name == "N" else 1.0 - sure
    return np.array([normal, 1.0 - normal, 0.0, 0.0], dtype=np.float32)


def test_the_first_beats_have_their_class_too() -> None:
    """Nothing is known of the patient, but a beat that is surely V is anomalous all the same."""
    rng = np.random.default_rng(23)
    live = LiveScore(CONFIG)
    live.score(normal(rng), 0.8, 0.03, surely("N"))

    assert live.score(normal(rng), 0.8, 0.03, surely("V")).anomalous
    assert not live.score(ectopic(rng), 0.4, 0.9, surely("N")).anomalous


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_class_contributes_its_log_odds(one: float, other: float) -> None:
    """0 where N is as probable as not, more the less probable N is, and limited on both sides."""
    contributions = class_contribution(np.array([surely("N", p) for p in (one, other, 0.5)]))

    assert np.abs(contributions).max() <= CLASS_WEIGHT * CLASS_LIMIT
    assert contributions[2] == pytest.approx(0.0, abs=1e-6)
    if one <= other:
        assert contributions[0] >= contributions[1]
    if 0.07 < one < 0.93:
        expected = CLASS_WEIGHT * np.log((1 - one) / one)
        assert contributions[0] == pytest.approx(expected, abs=1e-4)


def test_the_first_beats_are_scored_without_the_patient() -> None:
    """While learning only what is known without one counts, against a threshold of its own."""
    live = LiveScore(CONFIG)
    rng = np.random.default_rng(9)
    live.score(normal(rng), 0.8, 0.03)
    verdict = live.score(ectopic(rng), 0.4, 0.9)

    assert verdict.learning
    assert verdict.threshold == CONFIG.learning_threshold
    assert set(verdict.contributions) == {"model", "early", "late", "class"}
    assert verdict.anomalous


def test_usual_beats_move_the_template_slowly() -> None:
    """A shape that drifts with the patient stays usual."""
    rng = np.random.default_rng(2)
    live = learned(rng)
    verdicts = []
    for n in range(400):
        drift = np.float32(0.2 * n / 400) * np.sin(T / 50).astype(np.float32)
        verdicts.append(live.score(normal(rng) + drift, 0.8, 0.03))

    assert sum(verdict.anomalous for verdict in verdicts) <= 4


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 39))
def test_no_score_depends_on_later_beats(seed: int, split: int) -> None:
    """Whatever follows, the scores of the first beats are the same."""
    outcomes = []
    for future in (0, 1):
        rng, other = np.random.default_rng(seed), np.random.default_rng(seed + 1)
        live = LiveScore(CONFIG)
        scores = []
        for n in range(40):
            source = rng if n < split or not future else other
            beat = ectopic(source) if source.random() < 0.3 else normal(source)
            scores.append(live.score(beat, float(source.uniform(0.4, 1.2)), 0.03).score)
        outcomes.append(scores[:split])
    assert outcomes[0] == outcomes[1]


@settings(max_examples=10)
@given(st.lists(st.booleans(), min_size=60, max_size=60))
def test_patients_in_turn_are_scored_as_each_alone(turns: list[bool]) -> None:
    """Streams share their working memory: whose beat comes next changes no verdict."""
    beats = {}
    for patient in (False, True):
        rng = np.random.default_rng(int(patient))
        usual, other = (ectopic, normal) if patient else (normal, ectopic)
        beats[patient] = [
            (usual(rng) if rng.random() < 0.8 else other(rng), float(rng.uniform(0.5, 1.1)))
            for _ in range(turns.count(patient))
        ]
    alone = {
        patient: [live.score(window, rr_s, 0.03) for window, rr_s in its]
        for patient, its in beats.items()
        for live in [LiveScore(CONFIG)]
    }
    lives = {patient: LiveScore(CONFIG) for patient in beats}
    waiting = {patient: iter(its) for patient, its in beats.items()}
    found: dict[bool, list[Verdict]] = {False: [], True: []}
    for patient in turns:
        window, rr_s = next(waiting[patient])
        found[patient].append(lives[patient].score(window, rr_s, 0.03))

    assert repr(found) == repr(alone)  # NaN, where not known, equals no NaN


def test_prematurity_counts_against_the_median_of_this_patient() -> None:
    """0.5 s is early after 0.8 s; a beat that could not be analysed still sets the rhythm."""
    live = LiveScore(CONFIG)
    live.score(normal(np.random.default_rng(0)), float("nan"), 0.03)
    assert "early" not in live.raw
    for _ in range(100):
        live.skip(0.8)
    live.skip(float("nan"))
    live.score(normal(np.random.default_rng(0)), 0.5, 0.03)

    assert live.raw["early"] == pytest.approx(1 - 0.5 / 0.8)
    assert live.raw["late"] == 0.0
    live.score(normal(np.random.default_rng(0)), float("nan"), 0.03)
    assert "early" not in live.raw


def test_early_is_seen_where_early_beats_are_the_rule() -> None:
    """With three of four beats premature the median is no yardstick; the long intervals are."""
    live = LiveScore(CONFIG)
    beat = normal(np.random.default_rng(0))
    raw = {}
    for n in range(200):
        rr_s = 1.1 if n % 4 == 0 else 0.6
        live.score(beat, rr_s, 0.03)
        raw[rr_s] = live.raw.get("early", 0.0)

    assert raw[0.6] > 0.2
    assert raw[1.1] == 0.0


def test_reason_names_the_components_that_are_raised() -> None:
    """The text says what was seen, strongest first, and is empty for a usual beat."""
    rng = np.random.default_rng(3)
    live = learned(rng)

    assert live.score(normal(rng), 0.8, 0.03).reason == ""
    early = live.score(ectopic(rng), 0.4, 0.9).reason
    assert "differs from this patient's normal" in early
    assert "50 % premature" in early
    assert "unlike normal beats of any patient" in early
    late = live.score(ectopic(rng), 1.6, 0.03).reason
    assert "late, RR 100 % longer" in late
    assert "premature" not in late


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("S", "supraventricular (90 %)"),
        ("V", "ventricular (90 %)"),
        ("F", "a fusion of normal and ventricular (90 %)"),
    ],
)
def test_reason_names_the_class(name: str, text: str) -> None:
    """The likeliest one with its probability, beside what else is unusual; N is no reason."""
    rng = np.random.default_rng(24)
    live = learned(rng)

    found = live.score(ectopic(rng), 0.4, 0.9, surely(name, 0.9)).reason.split("; ")
    assert text in found
    assert "50 % premature" in found
    undecided = live.score(ectopic(rng), 0.4, 0.9, surely("N", 0.6)).reason
    assert "ventricular" not in undecided


def test_there_is_always_a_reason() -> None:
    """Where no component and no class stands out, the text says so."""
    nothing = dict.fromkeys(COMPONENTS, 0.9)
    assert reason_of(nothing, {}, surely("N", 0.9)) == "several measures slightly raised"
    assert reason_of(nothing, {}, surely("S", 0.8)) == "supraventricular (80 %)"


@given(st.floats(-1e30, 1e30), st.floats(0.01, 100.0), st.floats(0, 1e30, allow_nan=False))
def test_any_value_gives_a_finite_score(level: float, rr_s: float, model: float) -> None:
    """No component exceeds its limit, so that none outweighs the others."""
    live = learned(np.random.default_rng(4))
    window = np.full(320, np.clip(level, -1, 1), np.float32)
    verdict = live.score(window, rr_s, model)

    assert np.isfinite(verdict.score)
    for name in COMPONENTS:
        assert 0.0 <= live.contributions[name] <= WEIGHTS[name] * LIMITS[name]
    assert -TYPICAL_WEIGHT * ORDINARY <= live.contributions["typical"] <= 0.0
    assert verdict.score == pytest.approx(sum(live.contributions.values()))
    assert verdict.contributions == (live.contributions if verdict.anomalous else {})


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_score_continues_from_an_encoded_state(seed: int, split: int) -> None:
    """What is learned lies in the state; what only follows from it is found again."""
    rng = np.random.default_rng(seed)
    straight, live = LiveScore(CONFIG), LiveScore(CONFIG)
    for n in range(split + 5):
        beat = ectopic(rng) if rng.random() < 0.3 else normal(rng)
        rr_s = float(rng.uniform(0.5, 1.0))
        if n == split:
            live = LiveScore(CONFIG, decode(1, encode(1, live.state), LiveScoreState))
        if rng.random() < 0.1:
            straight.skip(rr_s)
            live.skip(rr_s)
        else:
            assert live.score(beat, rr_s, 0.03) == straight.score(beat, rr_s, 0.03)
    assert encode(1, live.state) == encode(1, straight.state)


def impossible(name: str, live: LiveScore) -> None:
    """Make the state of a score one that no stream can have."""
    series = live.state.series
    if name == "too many":
        series.counters[kernel_series.OWN, kernel_series.KEPT] = 129
    elif name == "beyond":
        series.counters[kernel_series.LONG_RR, kernel_series.PLACE] = 100
    elif name == "gap":
        series.counters[kernel_series.OWN, kernel_series.PLACE] += 1
    elif name == "no order":
        series.values[kernel_series.RECENT_RR, 0] = np.nan
    else:
        live.state.templates.known = 0


@pytest.mark.parametrize("name", ["too many", "beyond", "gap", "no order", "no template"])
def test_a_state_that_the_kernels_may_not_trust_is_refused(name: str) -> None:
    """They check no index: a forged snapshot would write beyond the arrays."""
    live = learned(np.random.default_rng(5))
    assert LiveScore(CONFIG, live.state)
    impossible(name, live)

    with pytest.raises(SnapshotError):
        LiveScore(CONFIG, live.state)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.floats(0, 1))
def test_quantiles_are_those_of_the_latest_values(series: list[float], part: float) -> None:
    """As `numpy.quantile` finds them; 0 of nothing."""
    arrays = series_of(RollingState.fresh())
    row = kernel_series.OWN
    assert kernel_series.quantile(row, part, *arrays) == 0.0
    for value in series:
        kernel_series.keep(row, value, *arrays)
    found = kernel_series.quantile(row, part, *arrays)
    latest = series[-kernel_series.SIZES[row] :]
    assert found == pytest.approx(float(np.quantile(latest, part)), rel=1e-9, abs=1e-6)


def test_calibration_for_other_components_is_refused() -> None:
    """A calibration that does not fit is an error when it is loaded, not a wrong score later."""
    scales = {name: CONFIG.scales[name] for name in COMPONENTS[:-1]}
    with pytest.raises(ConfigError):
        LiveScoreConfig(scales=scales, threshold=1, learning_threshold=1)
    with pytest.raises(ConfigError):
        Scale(median=1.0, p95=1.0)
    with pytest.raises(ConfigError):
        Scale(median=0.0, p95=float("nan"))


def slow_wrong_ticks(residual: NDArray[np.float32]) -> list[int]:
    """Return the same by loops: smooth over 9, walk from the peak while above a quarter of it."""
    energy = []
    for i in range(320):
        around = [float(residual[j]) ** 2 for j in range(i - 4, i + 5) if 0 <= j < 320]
        energy.append(sum(around) / 9)
    peak = max(range(320), key=lambda i: (energy[i], -i))
    first = last = peak
    while first > 0 and energy[first - 1] >= energy[peak] / 4:
        first -= 1
    while last < 319 and energy[last + 1] >= energy[peak] / 4:
        last += 1
    return [first, last]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 319), st.floats(0.5, 60.0))
def test_wrong_ticks_are_the_stretch_around_the_worst(seed: int, at: int, width: float) -> None:
    """The same as a slow reference finds, the peak inside, within the window."""
    rng = np.random.default_rng(seed)
    bump = np.exp(-(((T - at) / width) ** 2))
    residual = (bump + rng.normal(0, 0.1, T.size)).astype(np.float32)
    found = wrong_ticks(residual)

    assert found == slow_wrong_ticks(residual)
    assert 0 <= found[0] <= found[1] <= 319


def test_wrong_ticks_of_nothing_wrong_is_the_whole_window() -> None:
    """A residual of zeros has no worst part."""
    assert wrong_ticks(np.zeros(320, np.float32)) == [0, 319]
