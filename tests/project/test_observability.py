"""Dashboard, alerting rules and compose.yaml name what there is; no engine runs them here."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main
import yaml

from monitor.cli import app as cli
from monitor.metrics import MetricsServer
from pipeline.schema.public import Status, SystemReport
from tests.monitor.test_metrics import report as report  # a fixture
from tests.monitor.test_metrics import scrape
from tests.support.logs import alert
from tests.support.paths import ROOT

GRAFANA = json.loads((ROOT / "docs/grafana.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((ROOT / "docs/alert-rules.yml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))

ENTRY_POINTS = {"ecg-monitor": "monitor"}
"""Images whose command we know."""


def expressions() -> Iterator[str]:
    """Yield every PromQL expression of dashboard and rules."""
    for panel in GRAFANA["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in GRAFANA["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.fixture
def served(report: SystemReport) -> dict[str, set[str]]:
    """Return the labels of each metric that is served, by its name."""
    status = Status(
        stream="s1", state="normal", fs_hz=360, sample=1, time_s=1.0, bpm=60.0,
        alarms=[alert(1, priority="high")],
    )  # fmt: skip
    with MetricsServer(0, streams=True) as server:
        server.update(msgspec.structs.replace(report, resident_bytes=1), lambda: [status])
        samples = scrape(server.url)
    found: dict[str, set[str]] = {}
    for name, labels in samples:
        found.setdefault(name, set()).update(label for label, _ in labels)
    return found


@pytest.mark.system
def test_every_metric_that_is_named_is_served_with_its_labels(
    served: dict[str, set[str]],
) -> None:
    """Neither the dashboard nor a rule waits for a metric or a label that never comes."""
    wrong = []
    for text in expressions():
        for name, matchers in re.findall(r"(ecg_monitor_\w+)(?:\{([^}]*)\})?", text):
            labels = set(re.findall(r"(\w+)\s*[=!]~?", matchers))
            if name not in served or not labels <= served[name]:
                wrong.append(f"{name}{{{matchers}}}")
    assert len(list(expressions())) > 25
    assert wrong == []


def test_expressions_are_balanced_and_rules_are_complete() -> None:
    """Brackets match; every rule has a name of its own, a severity and a summary."""
    for text in expressions():
        assert all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}")), text
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    """Grafana moves panels that do, and drops those that share a number."""
    assert len({panel["id"] for panel in GRAFANA["panels"]}) == len(GRAFANA["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in GRAFANA["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the words name, and its arguments."""
    command = typer.main.get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]  # type: ignore[attr-defined]
        words = words[1:]
    return command, words


def test_commands_of_the_compose_file_are_ones_that_there_are() -> None:
    """The monitor's own command line parses each of them."""
    ours = [one for one in COMPOSE["services"].values() if one["image"] in ENTRY_POINTS]
    assert len(ours) == 4
    for service in ours:
        command, arguments = command_of(shlex.split(service["command"]))
        parsed = command.make_context("monitor", list(arguments))
        assert parsed.params


def test_files_and_configurations_of_the_compose_file_are_there() -> None:
    """What is mounted exists; what is provisioned parses and names what there is."""
    configs = COMPOSE["configs"]
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in COMPOSE["volumes"] or Path(ROOT / source).is_file()
        for config in service.get("configs", []):
            assert config["source"] in configs
        assert service.get("network_mode", "service:hub") == "service:hub"
    prometheus = yaml.safe_load(configs["prometheus"]["content"])
    target = prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0]
    hub = COMPOSE["services"]["hub"]["command"]
    assert f"--metrics {target.split(':')[1]} " in hub
    mounted = COMPOSE["services"]["prometheus"]["volumes"][0]
    assert mounted.split(":")[1] in prometheus["rule_files"]
    dashboards = yaml.safe_load(configs["dashboards"]["content"])
    folder = dashboards["providers"][0]["options"]["path"]
    assert f":{folder}/" in COMPOSE["services"]["grafana"]["volumes"][0]
    assert yaml.safe_load(configs["datasources"]["content"])["datasources"][0]["isDefault"]
    assert "listener 1883" in configs["mosquitto"]["content"]


def test_the_compose_file_publishes_on_this_machine_alone() -> None:
    """And every image has a version, so that it is the same one tomorrow."""
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["image"] == "ecg-monitor" or re.search(r":v?\d[\w.]+$", service["image"])
