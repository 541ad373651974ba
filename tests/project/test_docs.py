"""What the documents tell a reader to do works."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from monitor.metrics import COUNTERS, LOG_GAUGES, RECORDING_GAUGES
from monitor.run.supervisor import System
from pipeline.alarms.kinds import KINDS
from pipeline.alarms.settings import DEFAULTS, RANGES, settings_of
from pipeline.constants import DEFAULT_PORT
from pipeline.schema.public import Alert, SystemReport, Trend
from tests.monitor.run.test_system import command, environment
from tests.project.test_observability import command_of
from tests.support.paths import ROOT
from tests.support.ports import free_ports


def python_blocks(document: str) -> list[str]:
    """Return the Python code blocks of a document, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_documented_subscribers_receive_and_parse_alerts(tmp_path: Path) -> None:
    """The subscribers in README and docs/subscribing.md, as printed, print alerts."""
    stored, transaction, live, replay = python_blocks("docs/subscribing.md")
    readme = python_blocks("README.md")[-1]
    port = free_ports()

    def start(code: str) -> "subprocess.Popen[str]":
        code = code.replace(str(DEFAULT_PORT), str(port)).replace("5571", str(port + 1))
        return subprocess.Popen(
            [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )

    with System(port=port, log=tmp_path / "log.sqlite", on_note=lambda text: None) as system:
        printing = transaction + "        print(alert.stream)\n"
        listeners = [start(live), start(readme), start(stored), start(printing)]
        try:
            system.start_source(["demo", "--speed", "50", "--loop"])
            for listener in listeners:
                assert listener.stdout is not None
                assert "demo" in listener.stdout.readline()
        finally:
            for listener in listeners:
                listener.kill()
                listener.communicate()
        asked = start(replay)
        output, _ = asked.communicate(timeout=30)

    assert output.splitlines()[0].startswith("1 ")


def test_readme_shows_every_command(tmp_path: Path) -> None:
    """The README's table names the commands that --help lists."""
    shown = subprocess.run(
        command("--help"), env=environment(tmp_path), capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"^  ([a-z]+)  ", shown.split("Commands:")[1], flags=re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(commands) >= 10
    assert [name for name in commands if not re.search(rf"\b{name}\b", readme)] == []


DOCUMENTS = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
)


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as sites make them of their words."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Every relative link of a document points to a file of the repository, and to a heading."""
    text = (ROOT / document).read_text(encoding="utf-8")
    missing = []
    for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        target = (ROOT / document).parent / path if path else ROOT / document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{path}#{anchor}")

    assert missing == []


def test_code_names_documents_that_are_there() -> None:
    """A reader of a docstring finds what it points to."""
    named = {
        document
        for folder in ("monitor", "pipeline", "models", "replay", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for document in re.findall(r"docs/[a-z_/]+\.md", path.read_text(encoding="utf-8"))
    }
    assert {document for document in named if not (ROOT / document).is_file()} == set()


def test_alarm_table_names_every_kind_with_its_priority() -> None:
    """Neither more nor fewer, and the latching and held ones so."""
    text = (ROOT / "docs/alarms.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ((?:high|medium|low)[^|]*) \|", text, flags=re.MULTILINE)
    described = {
        kind.name: ", ".join(
            [kind.priority]
            + ["latches"] * kind.lethal
            + ["held"] * (kind.hold_s > 0)
            + ["technical"] * (kind.category == "technical")
        )
        for kind in KINDS.values()
    }
    assert dict(rows) == described


def test_alarm_settings_in_the_documents_are_the_defaults_with_their_ranges() -> None:
    """The printed file is taken as it stands and changes nothing."""
    text = (ROOT / "docs/alarms.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert settings_of(tomllib.loads(printed)) == DEFAULTS
    ranges = re.findall(r"^(\w+) = .*# ([\d.]+) to ([\d.]+)$", printed, flags=re.MULTILINE)
    assert {name: (float(a), float(b)) for name, a, b in ranges} == RANGES


def test_every_field_of_the_system_report_is_documented() -> None:
    """With the name of its metric, where it has one."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    fields = set(SystemReport.__struct_fields__) - {"schema"}
    assert {name for name in fields if f"`{name}`" not in text} == set()
    metrics = [f"{name}_total" for name in COUNTERS] + [f"log_{name}" for name in LOG_GAUGES]
    metrics += [f"recording_{name}" for name in RECORDING_GAUGES]
    assert [name for name in metrics if f"`{name}`" not in text] == []


def test_every_promise_names_tests_that_exist() -> None:
    """docs/reliability.md names a file below tests/ and, where it names one, a test in it."""
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    missing, file = [], ""
    named = re.findall(r"`([\w/]*\.py)?(?:::(\w+))?`", text)
    for path, name in named:
        file = path or file
        source = ROOT / "tests" / file
        if path and not source.is_file():
            missing.append(path)
        elif name and f"def {name}(" not in source.read_text(encoding="utf-8"):
            missing.append(f"{file}::{name}")

    assert len(named) > 80
    assert missing == []


@pytest.mark.parametrize(("heading", "kind"), [("An alert", Alert), ("A minute", Trend)])
def test_every_field_of_what_is_exported_is_described(
    heading: str, kind: type[Alert] | type[Trend]
) -> None:
    """docs/subscribing.md, which `monitor log export --help` and docs/operations.md point to."""
    text = (ROOT / "docs/subscribing.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    named = set(re.findall(r"[`\"](\w+)[`\"]", section)) | {"schema", "notice", "log_id", "seq"}
    assert set(kind.__struct_fields__) - named == set()
    assert "docs/subscribing.md" in exported_help()


def exported_help() -> str:
    """Return the help of ``monitor log export``."""
    export = command_of(["log", "export"])[0]
    return " ".join(str(getattr(parameter, "help", "")) for parameter in export.params)
