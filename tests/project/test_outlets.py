"""docs/outlets.md: each row of its table names a command that parses and a test that runs it."""

import re
import shlex

from tests.project.test_observability import command_of
from tests.support.paths import ROOT

TEXT = (ROOT / "docs/outlets.md").read_text(encoding="utf-8")


def test_each_row_names_a_command_and_a_test_that_exist() -> None:
    """The first table: what is documented is run."""
    rows = re.findall(r"^\| [^|]+ \| `monitor ([^`]+)` \|.*\| `([\w/.]+)::(\w+)` \|$", TEXT, re.M)
    table = TEXT.split("\n\n")[2].splitlines()
    assert len(rows) == len(table) - 2
    for words, file, test in rows:
        command, arguments = command_of(shlex.split(words))
        assert command.make_context("monitor", list(arguments)).params
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_option_that_is_named_exists() -> None:
    """Options in the text are options of a command that it is about."""
    known: set[str] = set()
    for name in ("mqtt", "webhook", "fhir", "lsl"):
        known |= {o for p in command_of(["bridge", name])[0].params for o in p.opts}
    for words in (["log", "export"], ["hub"], ["subscribe"]):
        known |= {o for p in command_of(words)[0].params for o in p.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) <= known
