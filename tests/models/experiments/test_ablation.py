"""The ablation: the same data for all cells, each trained once, and a table with its gaps."""

import fcntl
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import models.experiments.ablation
from models.data.annotated_beats import Beats
from models.data.mitdb import RECORDS
from models.experiments.ablation import CELLS, AblationConfig, run_ablation
from models.experiments.ablation_table import Ablation, Cell, FinishedCell, Setup, ablation_markdown
from models.files.strict_json import from_json, to_json
from models.inference.student import STUDENT_LATENT
from models.measure.provenance import Provenance
from models.nets.beatgan import Autoencoder, initialise
from models.training.checkpoint import TrainingState, save_checkpoint
from models.training.student import METHODS, TARGETS
from pipeline.errors import ConfigError
from tests.support.paths import ROOT

TWO = (
    Cell(target="neighbours", method="none", latent=3, seed=1),
    Cell(target="teacher", method="kd+ft", latent=3, seed=1),
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AblationConfig:
    """Two cells on a few beats, with two teachers that were never trained."""
    records = np.repeat(RECORDS, 10)
    inverted = np.arange(records.size) % 5 == 0
    centres = np.random.default_rng(0).uniform(120, 160, (records.size, 1))
    humps = 2 * np.exp(-(((np.arange(320) - centres) / 12) ** 2)) - 1
    beats = Beats(
        windows=np.where(inverted[:, None], -humps, humps).astype(np.float32),
        symbols=np.where(inverted, "V", "N"),
        records=records,
        samples=np.arange(records.size) * 300,
        detected=np.ones(records.size, dtype=bool),
    )
    monkeypatch.setattr(models.experiments.ablation, "load_beats", lambda _: beats)
    monkeypatch.setattr(models.experiments.ablation, "CELLS", TWO)
    state = TrainingState(
        config={"split": "0", "seed": 0},
        epoch=1,
        best_epoch=1,
        validation={"ap": 0.5, "auc": 0.6},
    )
    teachers = tuple(tmp_path / f"teacher-{draw}.safetensors" for draw in (5, 6))
    for draw, path in zip((5, 6), teachers, strict=True):
        teacher = Autoencoder(2, 3)
        initialise(teacher, torch.Generator().manual_seed(draw))
        save_checkpoint(path, state, networks={"generator": teacher})
    return AblationConfig(
        data=tmp_path,
        teachers=teachers,
        folder=tmp_path / "runs",
        result=tmp_path / "ablation.json",
        epochs=1,
        train_beats=200,
        device="cpu",
    )


def _ignore(finished: int, planned: int, what: str) -> None:
    """Watch nothing."""


def _cells(config: AblationConfig) -> dict:
    return json.loads(config.result.read_text())["cells"]


def test_every_planned_student_has_its_cell_and_a_seed_ends_before_the_next() -> None:
    """Once each; a table cut short is a whole one of fewer seeds.

    Every target is compared at each size, and every method with the plain student of its size.
    """
    assert len(set(CELLS)) == len(CELLS)
    assert [cell.seed for cell in CELLS] == sorted(cell.seed for cell in CELLS)
    of_a_seed = {(c.target, c.method, c.latent) for c in CELLS if c.seed == CELLS[0].seed}
    assert len(CELLS) == 3 * len(of_a_seed)
    latents = {latent for _, _, latent in of_a_seed}
    assert STUDENT_LATENT in latents
    assert {(t, m, n) for t, m, n in of_a_seed if m == "none"} == {
        (target, "none", latent) for target in TARGETS for latent in latents
    }
    for target, method in product(("beat", "neighbours"), METHODS):
        assert (target, method, STUDENT_LATENT) in of_a_seed


def test_cells_are_trained_once_and_keep_no_checkpoints(config: AblationConfig) -> None:
    """Each has its figures; a second run finds nothing to do and changes nothing."""
    table = run_ablation(config, _ignore)
    first, steps = config.result.read_bytes(), []
    run_ablation(config, lambda *step: steps.append(step))

    cells = _cells(config)
    assert set(cells) == {cell.name for cell in TWO}
    for cell in cells.values():
        assert 0 <= cell["auc"] <= 1
        assert 0 <= cell["ap"] <= 1
        assert cell["best_epoch"] == 1
    assert config.result.read_bytes() == first
    assert steps == [(0, 2, "reading the records"), (2, 2, "nothing left to take")]
    assert not [path for path in config.folder.iterdir() if path.is_dir()]
    assert "2 of 2 cells" in table.read_text()


def test_interrupted_cell_ends_as_an_uninterrupted_one(
    config: AblationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after an epoch and started again: the same figures."""
    monkeypatch.setattr(models.experiments.ablation, "CELLS", TWO[1:])
    config = replace(config, epochs=2)

    def stop(finished: int, planned: int, what: str) -> None:
        if "epoch 1" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_ablation(config, stop)
    run_ablation(config, _ignore)
    pieces = _cells(config)
    config.result.unlink()
    run_ablation(config, _ignore)

    for name, cell in _cells(config).items():
        for figure in ("auc", "ap", "validation", "best_epoch"):
            assert pieces[name][figure] == cell[figure], name


def test_cell_of_another_process_is_left_to_it(config: AblationConfig) -> None:
    """A locked cell is skipped and the next one trained; the table shows what is missing."""
    config.folder.mkdir()
    with (config.folder / f"{TWO[0].name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        table = run_ablation(config, _ignore)

    assert set(_cells(config)) == {TWO[1].name}
    assert "1 of 2 cells" in table.read_text()
    run_ablation(config, _ignore)
    assert set(_cells(config)) == {cell.name for cell in TWO}


def test_cells_of_another_budget_do_not_mix(config: AblationConfig) -> None:
    """A file begun with one budget is not continued with another; the error names it."""
    run_ablation(config, _ignore)
    before = config.result.read_bytes()

    with pytest.raises(ConfigError, match=r"begun with other settings or data \(epochs\)"):
        run_ablation(replace(config, epochs=2), _ignore)
    with pytest.raises(ConfigError, match=r"begun with other settings or data \(train_beats\)"):
        run_ablation(replace(config, train_beats=100), _ignore)
    assert config.result.read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", '{"setup": 1, "cells": {}}', "{}"])
def test_file_that_is_no_ablation_is_refused(config: AblationConfig, content: str) -> None:
    """And left as it is."""
    config.result.write_text(content)
    with pytest.raises(ConfigError, match="no ablation"):
        run_ablation(config, _ignore)
    assert config.result.read_text() == content


def _ablation(aucs: dict[tuple[str, str, int], float]) -> Ablation:
    """A result with one size: AUC by target, method and seed; the AP is 0.1 less."""
    machine = Provenance(processor="chip", cores=2, python="3.11", commit="abc", date="today")
    setup = Setup(
        protocol="beatgan", database="mitdb", annotations_sha256="a" * 64, split="0", split_seed=0,
        train_beats=12000, validation_beats=2800, test_beats=26000, epochs=8, batch=128,
        learning_rate=3e-3, alpha=1e-3, beta=1e-3, temperature=2.0, bf16=False,
        width=8, teachers_sha256=("f" * 64, "e" * 64),
        teachers_validation={"ap": 0.9, "auc": 0.94}, smoothing_ticks=31, scored_ticks=(20, 200),
    )  # fmt: skip
    cells = [
        FinishedCell(
            target=target, method=method, latent=8, seed=seed, parameters=108560, best_epoch=1,
            validation={"ap": 0.9}, auc=auc, ap=auc - 0.1, seconds=60.0, machine=machine,
        )
        for (target, method, seed), auc in aucs.items()
    ]  # fmt: skip
    return Ablation(setup=setup, cells={cell.name: cell for cell in cells})


def test_page_in_the_documents_is_that_of_the_stored_results() -> None:
    """The figures of the repository are read and written again, byte for byte."""
    stored = ROOT / "docs" / "models" / "ablation.json"
    ablation = from_json(Ablation, json.loads(stored.read_text(encoding="utf-8")))

    assert json.dumps(to_json(ablation), indent=2) + "\n" == stored.read_text(encoding="utf-8")
    page = ablation_markdown(ablation, CELLS)
    assert page == stored.with_suffix(".md").read_text(encoding="utf-8")


def test_table_shows_mean_and_deviation_and_what_is_missing() -> None:
    """Over the seeds that are finished, with their number; sample deviation, none of one seed.

    What is planned is not yet there; what is not planned has a dash.
    """
    planned = [
        Cell(target="beat", latent=8, seed=seed, method=method)
        for seed in (0, 1)
        for method in METHODS[:3]
    ]
    ablation = _ablation(
        {("beat", "none", 0): 0.96, ("beat", "none", 1): 0.98, ("beat", "kd", 0): 0.97}
    )

    page = ablation_markdown(ablation, planned)

    assert "3 of 6 cells are finished" in page
    row = "| the beat | 8 | 108,560 | 0.9700 ± 0.0141 (2) | 0.9700 (1) | not yet | – | – |"
    assert row in page
    assert row.replace("0.9700 ±", "0.8700 ±").replace("0.9700 (", "0.8700 (") in page
    assert "chip, 2 cores, Python 3.11, commit abc, today" in page
    assert "2 of `monitor train teacher`" in page


def test_targets_and_methods_are_compared_with_the_plain_student_pair_by_pair() -> None:
    """Equal sizes and seeds only: what seeds differ in does not count."""
    ablation = _ablation(
        {
            ("beat", "none", 0): 0.90,
            ("beat", "none", 1): 0.98,
            ("beat", "ft", 0): 0.91,
            ("beat", "ft", 1): 0.97,
            ("neighbours", "none", 1): 0.99,
            ("beat", "kd", 2): 0.99,
        }
    )
    page = ablation_markdown(ablation, list(ablation.cells.values()))

    assert "| the beat | FT | 2 | +0.0000 ± 0.0141 | 1 | +0.0000 ± 0.0141 | 1 |" in page
    assert "| mean of its nearest others | no distillation | 1 | +0.0100 | 1 |" in page
    assert "| the beat | KD |" not in page
    assert "| the beat | no distillation | 2 |" not in page
