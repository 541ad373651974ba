"""Comparisons in the formats of the WFDB programs bxb, rxr and sumstats, to compare as text."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.ec57.annotators import Score
from models.ec57.bxb import LABELS, BeatComparison
from models.ec57.rxr import RunComparison
from models.ec57.sumstats import sum_beats

BEATS_HEAD = (
    "Record Nn' Sn' Vn' Fn' On'  Ns  Ss  Vs  Fs' Os' Nv  Sv   Vv  Fv' Ov' No' So' Vo' Fo'"
    "  Q Se   Q +P   V Se   V +P   S Se   S +P RR err\n"
)
SHUTDOWN_HEAD = (
    "Record Nx   Sx   Vx   Fx   Qx  % beats  % N    % S    % V    % F   Total Shutdown\n"
    "                                missed missed missed missed missed      Time\n"
)


def _sum(matrix: np.ndarray, rows: str, columns: str) -> int:
    """Return how often one of some labels of the reference met one of some of the test."""
    at = np.ix_([LABELS.index(row) for row in rows], [LABELS.index(c) for c in columns])
    return int(matrix[at].sum())


def _stat(name: str, part: int, whole: int, digits: int = 2) -> str:
    value = f"{100.0 * part / whole:6.{digits}f}%" if whole > 0 else "     - "
    return f"{name}: {value} ({part}/{whole})\n"


def _share(value: float | None) -> str:
    return "      -" if value is None else f" {value:6.2f}"


def beats_report(record: str, test: str, got: BeatComparison) -> str:
    """Return ``bxb -r RECORD -a atr TEST``: S counts as N."""
    m = got.matrix
    lines = [
        f"Beat-by-beat comparison results for record {record}\n"
        f"Reference annotator: atr\n     Test annotator: {test}\n\n"
        "               Algorithm\n        n    v    f    q    o    x\n"
        "   _______________________________\n"
    ]
    groups = {"N": "NS", "V": "V", "F": "F", "Q": "Q", "O": "O", "X": "X"}
    for name, row in groups.items():
        columns = [c for c in groups.values() if name not in "OX" or c not in "OX"]
        counts = " ".join(f"{_sum(m, row, column):4d}" for column in columns)
        lines.append(f" {name} | {counts}\n")
    qrs, veb = got.qrs, got.veb
    others = veb.fp + veb.tn
    lines += [
        "\n",
        _stat("           QRS sensitivity", qrs.tps, qrs.tps + qrs.fn),
        _stat(" QRS positive predictivity", qrs.tpp, qrs.tpp + qrs.fp),
        _stat("           VEB sensitivity", veb.tps, veb.tps + veb.fn),
        _stat(" VEB positive predictivity", veb.tpp, veb.tpp + veb.fp),
        _stat("   VEB false positive rate", veb.fp, others, 3),
        "\n\n",
        _stat("  Beats missed in shutdown", _sum(m, "NSVFQ", "X"), qrs.tps + qrs.fn),
        _stat("      N missed in shutdown", _sum(m, "NS", "X"), _sum(m, "NS", LABELS)),
        _stat("      V missed in shutdown", _sum(m, "V", "X"), _sum(m, "V", LABELS)),
        _stat("      F missed in shutdown", _sum(m, "F", "X"), _sum(m, "F", LABELS)),
        f"       Total shutdown time: {got.shutdown_s:5d} seconds\n",
    ]
    return "".join(lines)


def _fields(matrix: np.ndarray) -> list[int]:
    """Return the counts of a line of ``bxb -L``."""
    n, rest = "NFQ", ("N", "S", "V", "FQ", "OX")
    pairs = [(row, n) for row in rest] + [(row, "S") for row in rest]
    pairs += [(row, "V") for row in rest] + [(row, "OX") for row in rest[:4]]
    return [_sum(matrix, row, column) for row, column in pairs]


WIDTHS = (5, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3, 3, 3, 3, 3)


def beats_line(record: str, got: BeatComparison) -> str:
    """Return the line that ``bxb -L`` writes of a record."""
    counts = " ".join(f"{n:{w}d}" for n, w in zip(_fields(got.matrix), WIDTHS, strict=True))
    shares = "".join(
        _share(score.sensitivity) + _share(score.positive_predictivity)
        for score in (got.qrs, got.veb, got.sveb)
    )
    error = got.rms_rr_error_ms
    return f"{record:>4s} {counts}{shares}{'     -' if error is None else f' {error:6.2f}'}\n"


def shutdown_line(record: str, got: BeatComparison) -> str:
    """Return the second line that ``bxb -L`` writes of a record."""
    m = got.matrix
    counts = " ".join(f"{_sum(m, row, 'X'):4d}" for row in "NSVFQ")
    totals = [_sum(m, row, LABELS) for row in "NSVFQ"]
    # As printed by bxb: S is left out of those missed in shutdown.
    shares = [(_sum(m, "NVFQ", "X"), got.qrs.tps + got.qrs.fn)]
    shares += [(_sum(m, row, "X"), total) for row, total in zip("NSVF", totals, strict=False)]
    missed = "".join(_share(100.0 * part / whole if whole else None) for part, whole in shares)
    return (
        f"{record:>4s} {counts}  {missed}{got.shutdown_s:5d} seconds {' '.join(map(str, totals))}\n"
    )


def sumstats_report(records: Mapping[str, BeatComparison]) -> str:
    """Return ``sumstats`` of the file that ``bxb -L`` writes of these records."""
    summary = sum_beats(list(records.values()))
    counts = _fields(sum(one.matrix for one in records.values()))
    printed = " ".join(f"{n:{w}d}" for n, w in zip(counts, (6, *WIDTHS[1:]), strict=True))
    gross, average = summary.gross, summary.average
    scores = (gross.qrs, gross.veb, gross.sveb)
    shares = "".join(_share(one.sensitivity) + _share(one.positive_predictivity) for one in scores)
    means = "".join(
        _share(one.sensitivity) + _share(one.positive_predictivity)
        for one in (average.qrs, average.veb, average.sveb)
    )
    totals = [score.tps + score.fn for score in scores]
    return (
        BEATS_HEAD
        + "".join(beats_line(record, got) for record, got in records.items())
        + f"{'_' * 132}\nSum {printed}\n{'Gross':83s}{shares}\n"
        + f"{'Average':83s}{means}{_share(summary.average_rms_rr_error_ms)}\n"
        + f"Total QRS complexes: {totals[0]}  Total VEBs: {totals[1]}  Total SVEBs: {totals[2]}\n"
        + f"\nSummary of results from {len(records)} records\n"
    )


def _run_matrix(matrix: np.ndarray, title: str) -> str:
    rows = [" ".join(f"{n:4d}" for n in row) for row in matrix]
    rows[0] = " " * 4 + rows[0][4:]
    names = ["   0", *(f"   {i}" for i in range(1, 6)), "  >5"]
    return (
        "               Algorithm Run Length\n          0    1    2    3    4    5   >5\n"
        "     ____________________________________\n"
        + "".join(f"{name} | {row}\n" for name, row in zip(names, rows, strict=True))
        + title
    )


def runs_report(record: str, test: str, got: RunComparison) -> str:
    """Return ``rxr -r RECORD -a atr TEST``."""

    def stat(name: str, part: int, whole: int) -> str:
        value = f" {int(100.0 * part / whole + 0.5):3d}%" if whole > 0 else "   - "
        return f"{name}:{value} ({part}/{whole})\n"

    def both(names: Sequence[str], score: Score) -> str:
        return stat(names[0], score.tps, score.tps + score.fn) + stat(
            names[1], score.tpp, score.tpp + score.fp
        )

    return (
        f"VE run-by-run comparison results for record {record}\n"
        f"Reference annotator: atr\n     Test annotator: {test}\n\n"
        + _run_matrix(got.sensitivity, "\n      (Run Sensitivity Summary Matrix)\n\n\n")
        + _run_matrix(got.predictivity, "\n (Run Positive Predictivity Summary Matrix)\n\n")
        + both(("            Couplet sensitivity", "  Couplet positive predictivity"), got.couplets)
        + both(
            ("          Short run sensitivity", "Short run positive predictivity"), got.short_runs
        )
        + both(
            ("           Long run sensitivity", " Long run positive predictivity"), got.long_runs
        )
        + "\n"
    )
