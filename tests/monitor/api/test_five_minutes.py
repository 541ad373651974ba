"""The variability of five minutes is that which the last minute of them states."""

from monitor.api.trend_table import five_minutes_of
from tests.monitor.report.test_log_content import minute

FIGURES = {"sdnn_ms": 40.0, "rmssd_ms": 30.0, "pnn50": 0.1, "lf_ms2": 200.0, "hf_ms2": 100.0}


def test_each_whole_five_minutes_have_the_figures_of_their_last_one() -> None:
    """Those without figures are counted, a part of five minutes is not."""
    minutes = [minute(n, **(FIGURES if n == 4 else {})) for n in range(15)]
    found = five_minutes_of(((60.0 * n, one) for n, one in enumerate(minutes)), 14.5 * 60)

    assert [one.begin_s for one in found] == [0.0, 300.0]
    assert [one.variability is None for one in found] == [False, True]
    assert found[0].variability is not None
    assert (found[0].variability.sdnn_ms, found[0].variability.lf_hf) == (40.0, 2.0)


def test_a_signal_that_begins_within_five_minutes_has_none_of_them() -> None:
    """A recording may begin anywhere in its stream: the next five minutes are the first whole."""
    minutes = ((60.0 * n - 137.5, minute(n)) for n in range(2, 12))

    assert [one.begin_s for one in five_minutes_of(minutes, 600.0)] == [162.5]
