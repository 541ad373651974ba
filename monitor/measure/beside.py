"""`monitor bench --beside DIR`: the figures of another checkout beside those of this one.

Machines differ, and one machine differs from hour to hour: two tables of figures compare only where
they were measured together. So the same command is run in both checkouts in turns (there, here,
here, there, and so on), each time as a process of its own that imports the packages of its
checkout. Which commit was measured is what that process says of itself. Compiled kernels are kept
by state and place of their sources, so neither takes those of the other; a short scan compiles
those that are missing before the first round.

Nothing here decides anything; figures are printed, never asserted.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Final, Self

from rich.console import Console

from models.evaluation.report.tables import DASH, Table, words
from models.measure.provenance import Provenance
from models.measure.result_json import Json, from_json, key, to_json
from monitor.inputs import data_folder
from monitor.log_format import report_line
from monitor.measure.output import print_json, terminal_table
from monitor.text import LONGEST_LINE, safe_text
from pipeline.errors import ConfigError, InputError

HERE: Final = Path(__file__).parents[2]
"""The checkout that this process runs."""

_CASE: Final = ("streams", "source", "chunk_ms")
"""What tells the cases of one list apart, in place of the name of a part."""

_WARM_UP: Final = ("scan", "demo")
"""Compiles the kernels."""

_ERROR: Final = "monitor: "
"""What a line of errors and warnings begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure in both checkouts; ``there`` and ``here`` are medians over the rounds."""

    part: str
    what: str
    there: float
    here: float
    ratio: float | None = field(metadata=key("here_over_there"))
    """Of the medians; None where the other is 0."""
    lowest: float | None
    """Ratio of a single round, as the next."""
    highest: float | None
    there_rounds: list[float]
    here_rounds: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What `monitor bench` with ``options`` gave in another checkout and in this one."""

    options: list[str]
    there: Provenance
    here: Provenance
    rounds: int
    figures: list[Figure]
    only_there: list[str]
    only_here: list[str]

    @classmethod
    def of(
        cls,
        options: Sequence[str],
        there: Sequence[Mapping[str, Json]],
        here: Sequence[Mapping[str, Json]],
    ) -> Self:
        """Compare the results of as many rounds in both, each the JSON of `monitor bench`.

        Raises:
            ValueError: one does not say where it is from.
            ConfigError: the results of a checkout are not all of one commit.
        """
        before, now = _gathered(there), _gathered(here)
        return cls(
            options=list(options),
            there=_origin(there),
            here=_origin(here),
            rounds=len(here),
            figures=[_figure(name, before[name], now[name]) for name in now if name in before],
            only_there=[" ".join(name) for name in before if name not in now],
            only_here=[" ".join(name) for name in now if name not in before],
        )


def compare(
    other: Path,
    options: Sequence[str],
    *,
    rounds: int,
    data: Path | None,
    as_json: bool,
    json_file: Path | None,
    here: Path = HERE,
) -> None:
    """Run `monitor bench` in another checkout and in this one, and print one table (or JSON).

    Args:
        other: folder of the other checkout.
        options: of `monitor bench`, which select what is measured.
        rounds: times that each checkout is measured.
        data: folder of the databases, the same for both.
        as_json: print JSON.
        json_file: write JSON there, too.
        here: folder of this checkout.

    Raises:
        ConfigError: ``other`` is no checkout; `monitor bench` failed in one of the two, or does not
            know an option; or a checkout was changed meanwhile.
    """
    folders = _checkout(other), here
    environments = [_environment(folder) for folder in folders]
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    results: tuple[list[dict[str, Json]], ...] = ([], [])
    command = ["bench", "--json", "--data", _data(data), *options]
    for which in in_turns(rounds):
        done, folder, environment = len(results[which]), folders[which], environments[which]
        if not done:
            _run(
                ["bench", *options, "--help"], folder, environment
            )  # refuses what it does not know
            console.print(f"compiling kernels in {folder} ...")
            _run(_WARM_UP, folder, environment)
        console.print(f"round {done + 1} of {rounds} {('there', 'here')[which]}, in {folder} ...")
        results[which].append(_result(command, folder, environment))
    result = Comparison.of(options, *results)
    if json_file is not None:
        json_file.write_text(json.dumps(to_json(result), indent=2) + "\n", encoding="utf-8")
    if as_json:
        print_json(result)
    else:
        Console().print(terminal_table(comparison_table(result)))


def in_turns(rounds: int) -> Iterator[int]:
    """Yield 0 for the other checkout and 1 for this one, each ``rounds`` times: 0 1 1 0 0 1 ..."""
    for n in range(rounds):
        yield from (1, 0) if n % 2 else (0, 1)


def figures_of(result: Mapping[str, Json]) -> dict[tuple[str, str], float]:
    """Return the numbers in the JSON of `monitor bench`, by part, or case, and name."""
    found: dict[tuple[str, str], float] = {}
    for part, value in result.items():
        if isinstance(value, dict):
            found |= {(words(part), name): number for name, number in _numbers(value)}
        elif isinstance(value, list):
            for case in value:
                if isinstance(case, dict):
                    found |= {(case_name(case), name): n for name, n in _numbers(case, _CASE)}
    return found


def comparison_table(result: Comparison) -> Table:
    """Return the figures as a table; below it what only one of the two measures."""
    here, there = result.here, result.there
    only = (("there", result.only_there), ("here", result.only_here))
    return Table(
        title=f"{here.processor}, {here.cores} cores, Python {here.python}: there commit "
        f"{there.commit}, here commit {here.commit}; medians, rounds: {result.rounds}",
        columns=("part", "what", "there", "here", "here/there", "lowest", "highest"),
        rows=[
            (one.part, one.what, f"{one.there:g}", f"{one.here:g}", *map(_shown, _ratios(one)))
            for one in result.figures
        ],
        text_columns=2,
        notes=[f"Only {side}: {', '.join(names)}." for side, names in only if names],
    )


def _ratios(one: Figure) -> tuple[float | None, float | None, float | None]:
    return one.ratio, one.lowest, one.highest


def _shown(ratio: float | None) -> str:
    return DASH if ratio is None else f"{ratio:.3f}"


def _checkout(folder: Path) -> Path:
    """Return a checkout's folder, absolute.

    Raises:
        ConfigError: it is none.
    """
    with suppress(OSError):
        if (folder / "monitor" / "__main__.py").is_file():
            return folder.resolve()
    raise ConfigError(
        f"{str(folder)!r} is no checkout of this project: it has no monitor/__main__.py"
    )


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment in which Python finds the packages of a checkout before others."""
    inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    # Absolute, as it runs in the checkout's folder.
    others = (path for path in map(os.path.abspath, inherited) if Path(path).resolve() != HERE)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *others])}


def _data(data: Path | None) -> str:
    """Return the folder of the databases, absolute; without one, a name that is none for both."""
    try:
        return str(data_folder(data).resolve())
    except InputError:
        return os.devnull


def _result(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> dict[str, Json]:
    printed = _run(arguments, folder, environment)
    try:
        result = json.loads(printed)
        from_json(Provenance, result["machine"])
    except (ValueError, KeyError, TypeError):
        what = f"`monitor {' '.join(arguments)}` in {str(folder)!r}"
        raise ConfigError(f"{what} printed no figures in JSON, with machine and commit") from None
    return dict(result)


def _run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run `monitor` in a checkout; return what it prints. Its progress is passed on.

    Raises:
        ConfigError: it failed; the text has what it said last.
    """
    command = [sys.executable, "-P", "-m", "monitor", *arguments]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process,
    ):
        try:
            assert process.stderr is not None
            said = _pass_on(process.stderr)
        except BaseException:
            process.terminate()
            raise
        if process.wait() == 0:
            if said.startswith(_ERROR):
                report_line(said)
            printed.seek(0)
            return printed.read()
    last = said.removeprefix(_ERROR) or f"exit code {process.returncode}"
    raise ConfigError(f"`monitor {' '.join(arguments)}` failed in {str(folder)!r}: {last}")


def _pass_on(lines: IO[str]) -> str:
    """Write lines to stderr, but for the last if it is `monitor`'s own; return the last.

    That one is why it failed, and then part of our own line, or else a warning.
    """
    last, held = "", ""
    for line in lines:
        if held:
            report_line(held)
        shown = safe_text(line.rstrip(), LONGEST_LINE)
        last, held = shown.strip() or last, ""
        if shown.startswith(_ERROR):
            held = shown
        else:
            report_line(shown)
    return last


def _numbers(
    figures: Mapping[str, Json], without: Sequence[str] = ()
) -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in without:
            yield words(name), value


def case_name(figures: Mapping[str, Json]) -> str:
    """Return the name of a case in JSON: ``64 record 20 ms``, or ``50 record full speed``."""
    chunk_ms = figures.get("chunk_ms")
    pace = "full speed" if chunk_ms is None else f"{chunk_ms:g} ms"
    return f"{figures.get('streams')} {figures.get('source', '')} {pace}"


def _gathered(results: Iterable[Mapping[str, Json]]) -> dict[tuple[str, str], list[float]]:
    """Return the values of each figure over the rounds; one that a round lacks is left out."""
    rounds = [figures_of({k: v for k, v in one.items() if k != "machine"}) for one in results]
    return {
        name: [one[name] for one in rounds]
        for name in rounds[0]
        if all(name in one for one in rounds)
    }


def _origin(results: Sequence[Mapping[str, Json]]) -> Provenance:
    origins = [from_json(Provenance, one["machine"]) for one in results]
    commits = sorted({origin.commit for origin in origins})
    if len(commits) > 1:
        raise ConfigError(f"a checkout was changed while it was measured: {' and '.join(commits)}")
    return origins[0]


def _figure(name: tuple[str, str], there: list[float], here: list[float]) -> Figure:
    ratios = [now / before for before, now in zip(there, here, strict=True) if before]
    before, now = median(there), median(here)
    return Figure(
        part=name[0],
        what=name[1],
        there=before,
        here=now,
        ratio=round(now / before, 4) if before else None,
        lowest=round(min(ratios), 4) if ratios else None,
        highest=round(max(ratios), 4) if ratios else None,
        there_rounds=there,
        here_rounds=here,
    )
