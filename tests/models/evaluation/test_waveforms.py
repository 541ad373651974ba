"""Test waveforms are what they are called: heights, widths, times."""

import numpy as np
import pytest

from models.evaluation.stress.waveforms import Beat, Pulse, drift, heart, mains, pulses, regular

FS_HZ = 1000.0


def width_s(signal: np.ndarray, share: float = 0.5) -> float:
    """Return for how long the signal is above a share of its highest value."""
    return float(np.sum(signal > share * signal.max()) / FS_HZ)


@pytest.mark.parametrize("mv", [0.15, 1.0, 5.0])
@pytest.mark.parametrize("qrs_s", [0.04, 0.12])
def test_beat_has_the_size_that_is_asked_for(mv: float, qrs_s: float) -> None:
    """R stands at its time, and 95 % of the QRS lie within its width; so does T within QT."""
    beat = Beat(qrs_mv=mv, qrs_s=qrs_s, t_mv=0.0)
    signal = heart([(1.0, beat)], 3.0, FS_HZ)

    assert signal.argmax() == 1000
    assert signal.max() == pytest.approx(mv)
    inside = signal[round(1000 - 500 * qrs_s) : round(1000 + 500 * qrs_s) + 1].sum()
    assert inside / signal.sum() == pytest.approx(0.954, abs=0.01)
    t_alone = heart([(1.0, beat._replace(t_mv=mv))], 3.0, FS_HZ) - signal
    end_s = 1.0 - qrs_s / 2 + beat.qt_s
    assert t_alone.argmax() / FS_HZ == pytest.approx(end_s - beat.t_s / 2, abs=0.001)


def test_fast_beats_have_short_t_waves() -> None:
    """By Bazett, T and QT shrink with the root of the interval, and never grow."""
    assert Beat().for_interval(0.25).qt_s == pytest.approx(Beat().qt_s / 2)
    assert Beat().for_interval(2.0) == Beat()


@pytest.mark.parametrize("begin_s", [0.1, 0.1003, 0.1007])
def test_pulse_keeps_its_area_wherever_it_begins(begin_s: float) -> None:
    """A sample is the mean over its interval: height times width lies in all of them together."""
    for pulse in (Pulse(700.0, 0.0001), Pulse(-2.0, 0.002)):
        signal = pulses([begin_s], pulse, 0.5, FS_HZ)
        assert signal.sum() / FS_HZ == pytest.approx(pulse.mv * pulse.width_s)
        assert np.flatnonzero(np.abs(signal) > 1e-9).size <= 3


def test_after_potential_is_opposite_and_decays() -> None:
    """It begins with the height and falls to 1/e within the time constant."""
    signal = pulses([0.1], Pulse(2.0, 0.001, after_mv=0.5, tau_s=0.03), 0.5, FS_HZ)

    assert signal[101] == pytest.approx(-0.5)
    assert signal[131] == pytest.approx(-0.5 / np.e)
    assert signal.max() == pytest.approx(2.0)


def test_filtered_pulse_is_a_bell() -> None:
    """It is as wide as it is called at half its height, around its time."""
    signal = pulses([0.25], Pulse(1.0, 0.01, filtered=True), 0.5, FS_HZ)

    assert signal.argmax() == 250
    assert width_s(signal) == pytest.approx(0.01, abs=0.002)


def test_drift_and_mains_span_what_they_are_called() -> None:
    """Heights are from peak to valley."""
    assert np.ptp(drift(4.0, 0.1, 30.0, FS_HZ)) == pytest.approx(4.0, abs=0.01)
    assert np.ptp(mains(0.1, 50.0, 1.0, FS_HZ)) == pytest.approx(0.1, abs=0.001)
    assert np.diff(regular(80.0, 0.5, 20.0)) == pytest.approx(0.75)
