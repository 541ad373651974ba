"""The summary of a run says what a person needs at its end."""

from monitor.run.summary import ActiveAlarm, RunSummary, summary_lines


def test_what_is_still_active_is_said_with_its_patients() -> None:
    """One line for each alarm, with the streams that have it; what has none is of the system."""
    active = [("a", "asystole", "on"), ("b", "asystole", "on"), ("", "no_scorer", "latched")]
    summary = RunSummary(
        duration_s=1.0, wall_s=1.0, beats=0, beats_not_analysable=0, alerts={}, alerts_missing=0,
        streams=["a", "b"], gap_samples=0, redelivered=0, scorer_restarts=0, restarts={},
        log="log.sqlite",
        standing=[ActiveAlarm(stream=a, kind=b, state=c, episode="e") for a, b, c in active],
    )  # fmt: skip

    assert [line for line in summary_lines(summary) if line.startswith("active")] == [
        "active   asystole (on) of a, b",
        "active   no scorer (latched) of the system",
    ]
