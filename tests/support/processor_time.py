"""What tests cost: processor time, which other work on the machine changes little.

That of a test includes its fixtures, and the processes that it started and waited for.
"""

from collections.abc import Iterator
from os import times
from typing import Any

import pytest

BUDGET_S = 600.0
"""Of all tests together; with two processors it is half of that, and what tests wait for."""

SHOWN = 10


def processor_s() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    return sum(times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note when a test begins."""
    item.stash[_BEGAN] = processor_s()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Let the last report of a test say what it cost."""
    if call.when == "teardown":
        item.user_properties.append(("processor_s", processor_s() - item.stash[_BEGAN]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the dearest tests, and say whether all of them cost more than they may."""
    costs = {
        report.nodeid: dict(report.user_properties).get("processor_s", 0.0)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
    }
    total = sum(costs.values())
    if len(costs) <= SHOWN:
        return
    over = f", over the budget of {BUDGET_S:.0f} s" if total > BUDGET_S else ""
    terminalreporter.section(f"processor time: {total:.0f} s{over}; the dearest tests")
    for name, cost in sorted(costs.items(), key=lambda one: -one[1])[:SHOWN]:
        terminalreporter.line(f"{cost:6.1f} s  {name}")


_BEGAN = pytest.StashKey[float]()
