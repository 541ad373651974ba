"""Where the repository and the tests' own files lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
PROGRAMS = ROOT / "tests" / "support" / "programs"
