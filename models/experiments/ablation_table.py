"""The results of the ablation as they are stored, and the page that is made of them alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import Final

from models.measure.metrics import summary
from models.measure.provenance import Provenance
from models.training.student import METHODS, TARGETS

TITLES: Final[Mapping[str, str]] = {
    "none": "no distillation",
    "kd": "KD",
    "ft": "FT",
    "kd+ft": "KD + FT",
    "frskd": "FRSKD",
}
TARGET_TITLES: Final[Mapping[str, str]] = {
    "beat": "the beat",
    "neighbours": "mean of its nearest others",
    "teacher": "mean of the teachers",
}
DASH: Final = "–"
MEASURES: Final = ("auc", "ap")
PLAIN: Final = ("beat", "none")
"""Target and method of the student without a teacher."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One student of the table."""

    target: str
    method: str
    latent: int
    seed: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.target}-{self.method}-latent{self.latent}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class FinishedCell(Cell):
    """A student that was trained, and its figures."""

    parameters: int
    best_epoch: int
    validation: Mapping[str, float]
    """Of the best epoch."""
    auc: float
    """On the test part, as is ``ap``."""
    ap: float
    seconds: float
    machine: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What all cells have in common: cells of another setup do not mix."""

    protocol: str
    database: str
    annotations_sha256: str
    split: str
    split_seed: int
    train_beats: int
    validation_beats: int
    test_beats: int
    epochs: int
    batch: int
    learning_rate: float
    alpha: float
    beta: float
    temperature: float
    bf16: bool
    width: int
    teachers_sha256: tuple[str, ...]
    teachers_validation: Mapping[str, float]
    """Of their mean reconstruction."""
    smoothing_ticks: int
    scored_ticks: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """What is stored."""

    setup: Setup
    cells: Mapping[str, FinishedCell]
    """By name."""


Cells = Sequence[FinishedCell]


def ablation_markdown(ablation: Ablation, planned: Sequence[Cell]) -> str:
    """Return the page of the finished cells, out of every one that is ``planned``."""
    setup, cells = ablation.setup, list(ablation.cells.values())
    seeds = sorted({cell.seed for cell in planned})
    lines = [
        "# Does distillation help?",
        "",
        "Written by `monitor train ablation` from `ablation.json`. Published BeatGAN protocol, "
        f"{setup.database}, split {setup.split} of seed {setup.split_seed}, one student "
        "a cell. Each was trained the same way; its epoch was chosen on the validation part, and "
        "its test part was read once. The target is what the student learns to give for a beat.",
        "",
        f"{len(cells)} of {len(planned)} cells are finished. A cell shows mean ± standard "
        f"deviation over the seeds ({', '.join(map(str, seeds))}), and in brackets how many of "
        f"them are finished; {DASH} is not planned.",
    ]
    for measure in MEASURES:
        lines += ["", f"## {measure.upper()} on the test part", "", *_rows(cells, planned, measure)]
    lines += ["", "## Against the plain student", "", *_differences(cells)]
    lines += ["", "## Configuration", "", *_configuration(setup, cells)]
    return "\n".join(lines) + "\n"


def _rows(cells: Cells, planned: Sequence[Cell], measure: str) -> list[str]:
    rows = [
        "| target | latent | parameters | " + " | ".join(TITLES[m] for m in METHODS) + " |",
        "|---|---:|---:|" + "---:|" * len(METHODS),
    ]
    for target, latent in sorted(
        {(cell.target, cell.latent) for cell in planned},
        key=lambda row: (TARGETS.index(row[0]), row[1]),
    ):
        of_row = [cell for cell in cells if (cell.target, cell.latent) == (target, latent)]
        wanted = {c.method for c in planned if (c.target, c.latent) == (target, latent)}
        parameters = f"{of_row[0].parameters:,}" if of_row else ""
        columns = [
            _mean([getattr(cell, measure) for cell in of_row if cell.method == method])
            if method in wanted
            else DASH
            for method in METHODS
        ]
        rows.append(
            f"| {TARGET_TITLES[target]} | {latent} | {parameters} | " + " | ".join(columns) + " |"
        )
    return rows


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "not yet"
    over = summary(values)
    spread = "" if over.sd is None else f" ± {over.sd:.4f}"
    return f"{over.mean:.4f}{spread} ({len(values)})"


def _differences(cells: Cells) -> list[str]:
    """Compare each target and method with the plain student of equal latent size and seed."""
    alone = {(c.latent, c.seed): c for c in cells if (c.target, c.method) == PLAIN}
    rows = [
        "Difference between two students of equal size and seed, one distilled, one that "
        "reconstructs the beat and has no teacher: mean ± standard deviation over the pairs, and "
        "in how many the distilled one is better.",
        "",
        "| target | method | pairs | AUC | better | AP | better |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for target, method in product(TARGETS, METHODS):
        found = [cell for cell in cells if (cell.target, cell.method) == (target, method)]
        pairs = [
            (one, alone[one.latent, one.seed]) for one in found if (one.latent, one.seed) in alone
        ]
        if not pairs or (target, method) == PLAIN:
            continue
        columns = [TARGET_TITLES[target], TITLES[method], str(len(pairs))]
        for measure in MEASURES:
            gains = [getattr(one, measure) - getattr(other, measure) for one, other in pairs]
            columns += [_gain(gains), str(sum(gain > 0 for gain in gains))]
        rows.append("| " + " | ".join(columns) + " |")
    return rows


def _gain(gains: Sequence[float]) -> str:
    over = summary(gains)
    return f"{over.mean:+.4f}" + ("" if over.sd is None else f" ± {over.sd:.4f}")


def _configuration(setup: Setup, cells: Cells) -> list[str]:
    of_teacher = ", ".join(f"{k.upper()} {v:.4f}" for k, v in setup.teachers_validation.items())
    digests = ", ".join(digest[:12] for digest in setup.teachers_sha256)
    first, end = setup.scored_ticks
    minutes = {
        method: summary([cell.seconds / 60 for cell in of_method]).mean
        for method, of_method in groupby(
            sorted(cells, key=lambda cell: METHODS.index(cell.method)),
            key=lambda cell: cell.method,
        )
    }
    # One line for each machine and commit, with the date of its last cell.
    machines = {replace(cell.machine, date=""): cell.machine for cell in cells}
    return [
        f"* {setup.train_beats:,} beats to train on, {setup.validation_beats:,} for the "
        f"choice of the epoch, {setup.test_beats:,} for the figures; {setup.epochs} epochs, "
        f"batches of {setup.batch}, AdamW at {setup.learning_rate:g} with a one-cycle "
        f"schedule, convolutions in {'bfloat16' if setup.bf16 else 'float32'}.",
        f"* Loss: L_R + {setup.alpha:g} L_KD + {setup.beta:g} L_F, temperature "
        f"{setup.temperature:g}; width {setup.width}. Teachers of the target, KD and FT: "
        f"{len(setup.teachers_sha256)} of `monitor train teacher`, of the same split (together, on "
        f"validation, {of_teacher}; SHA-256 {digests}); FRSKD has none of them.",
        f"* Score: mean square over ticks {first} to {end} of the residual, smoothed over "
        f"{setup.smoothing_ticks} ticks.",
        "* Minutes a student: "
        + ", ".join(f"{TITLES[method]} {mean:.1f}" for method, mean in minutes.items())
        + ".",
        *(f"* {machine}." for machine in machines.values()),
    ]
