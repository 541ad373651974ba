"""The kernels: one compilation each, and equality with the slow reference."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config
from numba.core.errors import NumbaError
from numba.core.registry import CPUDispatcher

from pipeline.errors import SnapshotError
from pipeline.schema import messages
from pipeline.signal.fibrillation import FibrillationWatch
from pipeline.signal.filters import BAND, NOISE, QRS, filter_bank
from pipeline.signal.kernels import (
    beats,
    condition,
    fibrillation,
    motion,
    sampling,
    slots,
    spikes,
    windows,
)
from pipeline.signal.kernels.leads import passage, patient
from pipeline.signal.kernels.sections import (
    PLACES,
    PLACES_SCRATCH,
    correlation_with,
    highest_correlation,
    jit,
    median,
    value_range,
)
from pipeline.signal.kernels.slots import SHAPE_PLAY, SHAPE_SIZE, SHAPE_STEP
from pipeline.signal.kernels.windows import FIRST_R
from pipeline.signal.leads.lead_state import WATCH
from pipeline.signal.quality import Reason, pacing_spikes
from pipeline.signal.samples import SampleBlock
from pipeline.signal.segment import cut_windows
from pipeline.signal.segmenter import Segmenter, filter_record
from pipeline.signal.segmenter_state import PENDING_BEATS, SegmenterState
from tests.support import reference

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=8)


def test_codes_and_flags_are_those_of_quality_and_messages() -> None:
    """The numbers repeated inside the kernels agree with the modules that define them."""
    for module in (sampling, condition):
        for reason in Reason:
            assert getattr(module, reason.name, reason) == reason
    assert sampling.FLAG_LEAD_OFF == messages.FLAG_LEAD_OFF
    assert sampling.FLAG_SATURATED == messages.FLAG_SATURATED


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled without the JIT")
def test_each_kernel_is_compiled_once() -> None:
    """Chunks of any size, strided, read-only, of other types: one signature a kernel."""
    x, _ = reference.ecg(8)
    for fs in (360, 250):
        segmenter = Segmenter(fs)
        at = 0
        for chunk in (x[:1], x[1:8], x[8:2000:2], x[2000:2010].astype(float), x[2010:]):
            chunk.flags.writeable = False
            segmenter.push(SampleBlock(at, chunk, flags=np.zeros(chunk.size, np.uint8)))
            at += chunk.size
        segmenter.push(SampleBlock(at + 1000, x))
        segmenter.finish()
    cut_windows(filter_record(x)[::1], np.array([400]))

    kernels = {
        name: kernel
        for module in (beats, condition, fibrillation, passage, patient, sampling, spikes, windows)
        for name, kernel in vars(module).items()
        if isinstance(kernel, CPUDispatcher) and kernel.py_func.__module__ == module.__name__
    }

    called = {n: k for n, k in kernels.items() if not n.startswith("_")}
    segmenter = Segmenter(250)
    segmenter.sampled(x, np.zeros(x.size, np.uint8))
    from_python = {
        "advance", "follow_patient", "filter_bank", "sanitise", "resample", "cut_windows",
        "cut_beats",
    }  # fmt: skip
    assert from_python < called.keys()
    # Kernels that others call have none of their own where those were compiled by another process.
    several = {n: k.signatures for n, k in called.items() if len(k.signatures) > 1}
    assert several == {}
    assert [n for n in from_python if not called[n].signatures] == []


def test_kernels_cut_parts_out_of_single_rows() -> None:
    """Of ``x[:, a:b]`` numba cannot know that its rows have no gaps: loops over them are slow."""
    with_gaps = [
        f"{path.name}:{node.lineno}"
        for path in Path(spikes.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple)
        if sum(isinstance(part, ast.Slice) for part in node.slice.elts) > 1
    ]
    assert with_gaps == []


@few
@given(seed=seeds)
def test_sanitise_equals_reference(seed: int) -> None:
    """Holding, masking and taking the level again are those of the plain loop."""
    x, flags = reference.damaged(6, 360, seed)
    clean, codes = np.empty_like(x), np.empty_like(flags)

    sampling.sanitise(x, flags, 1000.0, 14.0, *pacing_spikes(360.0), np.zeros(11), clean, codes)
    expected, expected_codes = reference.sanitise(x, flags, 14)

    np.testing.assert_array_equal(codes, expected_codes)
    np.testing.assert_allclose(clean, expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(clean).all()


@few
@given(seed=seeds)
def test_filters_equal_scipy(seed: int) -> None:
    """The filter bank gives what scipy's sosfilt gives on the whole record."""
    x, _ = reference.ecg(6, seed=seed)
    clean, _ = reference.sanitise(x, np.zeros(x.size, np.uint8), 14)
    out = np.empty((3, x.size), np.float32)

    sampling.filter_bank(clean, clean, filter_bank(), np.zeros((5, 2)), out)

    for row, kind in ((BAND, "band"), (QRS, "qrs"), (NOISE, "noise")):
        np.testing.assert_allclose(out[row], reference.filtered(clean, kind), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(filter_record(x), out[BAND])


def test_filters_at_rest_end_in_next_to_nothing() -> None:
    """A flat input leaves no denormal numbers in the filters, which would be slow for ever."""
    x = np.zeros(20_000, np.float32)
    x[0] = 1.0
    memory, out = np.zeros((5, 2)), np.empty((3, x.size), np.float32)

    sampling.filter_bank(x, x, filter_bank(), memory, out)

    for numbers, kind in ((memory, np.float64), (out[:, -1], np.float32)):
        assert (np.abs(numbers[numbers != 0]) > np.finfo(kind).tiny).all()
        assert np.abs(numbers).max() < 1e-15


@few
@given(seed=seeds)
def test_quality_states_equal_reference(seed: int) -> None:
    """The stream's states are those of the plain rules over the whole record."""
    x, flags = reference.damaged(24, 360, seed)
    clean, codes = reference.sanitise(x, flags, 14)
    y = np.stack([reference.filtered(clean, kind) for kind in ("band", "qrs", "noise")])
    detector = reference.Detector(clean)
    found = np.column_stack((detector.r, detector.confirmed)).astype(np.int64).reshape(-1, 2)
    measures = FibrillationWatch().measure(clean, codes)
    states = np.empty_like(codes)
    usual = np.zeros((slots.USUAL_ROWS, slots.USUAL_BEATS + 1))

    condition.watch(
        clean, codes, y[BAND], y, found, *measures, WATCH, np.zeros(slots.COUNTERS, np.int64),
        np.zeros(slots.EXTREMES), np.zeros(360, np.uint8),
        np.zeros((slots.BLOCK_ROWS, slots.BLOCKS_KEPT)), usual,
        np.zeros((slots.USUAL_BEATS, slots.SHAPE_SIZE)), states,
    )  # fmt: skip

    np.testing.assert_array_equal(states, reference.states(clean, codes, y, found, *measures))


@pytest.mark.parametrize("span", [0.0, 0.019])
def test_flat_windows_become_zeros(span: float) -> None:
    """A window that spans under 20 uV is zeros, not amplified noise."""
    stretch = np.zeros(400, np.float32)
    stretch[200] = span

    cut, spans = cut_windows(stretch, np.array([200]))

    assert not cut.any()
    assert spans[0] == np.float32(span)


def test_windows_over_an_end_are_refused() -> None:
    """Cutting outside of the stretch is an error, not a read out of bounds."""
    for r in (139, 221):
        with pytest.raises(ValueError, match="over an end"):
            cut_windows(np.zeros(400, np.float32), np.array([r]))


@given(st.lists(st.integers(0, 12), min_size=8, max_size=8))
def test_the_median_of_eight_is_numpys(values: list[int]) -> None:
    """The network sorts enough of any eight values, equal ones too."""
    assert median(np.array(values)) == np.median(values)
    assert median(np.array([*values, 99], dtype=np.float64)) == np.median(values)


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=80))
def test_the_extremes_are_numpys(values: list[float]) -> None:
    """Numbers are compared by their bits, negative ones and those next to 0 too."""
    x = np.array(values, dtype=np.float32)

    lowest, highest = value_range(np.concatenate((x[:1] - 1, x, x[:1] + 1)), 1, x.size + 1)

    assert (lowest, highest) == (x.min(), x.max())


@given(st.lists(st.sampled_from(Reason), min_size=1, max_size=60), st.sampled_from(Reason))
def test_a_run_ends_where_a_qrs_could_be_seen_no_more(
    reasons: list[Reason], before: Reason
) -> None:
    """The number of the run rises by one with each such change, and with each change back."""
    states, runs = np.array(reasons, dtype=np.uint8), np.empty(len(reasons), dtype=np.uint8)

    last = condition.number_runs(states, int(before), 254, runs)

    shows = [reason in (Reason.OK, Reason.OVERLAID) for reason in (before, *reasons)]
    numbers = 254 + np.cumsum(np.diff(shows))
    assert last == numbers[-1]
    np.testing.assert_array_equal(runs, numbers % 256)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled without the JIT")
def test_kernels_cannot_allocate() -> None:
    """What would be memory of numba's runtime is refused: so it counts no references in kernels."""

    @jit
    def kernel(x: np.ndarray) -> float:
        return float((x + x)[0])

    with pytest.raises(NumbaError, match="NRT required"):
        kernel(np.ones(3))


@few
@given(seed=seeds, begin=st.integers(-8, 60))
def test_places_side_by_side_are_each_what_it_is_alone(seed: int, begin: int) -> None:
    """The highest correlation of all places is that of one of them, to the bit, also at an end."""
    rng = np.random.default_rng(seed)
    x, shape = rng.normal(size=170).astype(np.float32), rng.normal(size=73).astype(np.float32)
    energy, scratch = float(shape @ shape), np.empty(PLACES_SCRATCH)

    together = highest_correlation(shape, energy, x, begin, scratch)

    places = range(begin, begin + 2 * PLACES, 2)
    assert together == max(0.0, *(correlation_with(shape, energy, x, at) for at in places))


@few
@given(seed=seeds, level=st.sampled_from([0.0, 1.0, 1e6]), size=st.sampled_from([0.0, 1e-3, 1.0]))
def test_a_shape_is_alike_by_sums_in_any_order_as_in_order(
    seed: int, level: float, size: float
) -> None:
    """Also where it is exactly as alike as is asked, and where it is flat."""
    rng = np.random.default_rng(seed)
    x = (level + size * rng.normal(size=130)).astype(np.float32)
    other = (level + size * rng.normal(size=SHAPE_SIZE)).astype(np.float32).astype(np.float64)
    inner = x[3:][SHAPE_STEP * SHAPE_PLAY :: SHAPE_STEP][: SHAPE_SIZE - 2 * SHAPE_PLAY]
    total = power = 0.0
    for v in inner.astype(np.float64).tolist():
        total, power = total + v, power + v * v

    exact = motion._alike_shifted(x, 3, total, power, other)

    for least in (exact, np.nextafter(exact, -2.0), exact - 0.1, exact + 0.1):
        alike = motion._is_alike_shifted(x, 3, total, power, other, least)
        assert alike == (exact > least)


def test_beats_that_wait_are_written_into_no_more_rows_than_there_are() -> None:
    """A state that no stream leaves behind, with a beat that holds up all others, is refused."""
    rows = np.full((PENDING_BEATS + 8, FIRST_R + 1), -1, dtype=np.int64)
    pending = rows[:PENDING_BEATS]
    for b in range(PENDING_BEATS - 1):
        pending[b] = 72 * b + 500
    found = np.full((5, FIRST_R + 1), 72 * PENDING_BEATS + 500, dtype=np.int64)
    some = PENDING_BEATS - 1 + len(found)

    complete, _, _ = windows.complete(
        found, pending, PENDING_BEATS - 1, 400, 179, 179, 10_000, 0, 1, 1, 0, -1, 0,
        np.zeros(4_000, np.uint8), 0, 360, False,
        np.empty((some, rows.shape[1]), np.int64), np.empty((3, some), np.int64), np.empty(some),
    )  # fmt: skip

    assert complete == 0
    assert (rows[PENDING_BEATS:] == -1).all()
    with pytest.raises(SnapshotError, match="36 beats wait"):
        SegmenterState.fresh(0, 1).keep_pending(some)
