"""``python -m tests.nightly kills|bytes|cluster --minutes N [--report FILE] [--seed N]``."""

import argparse
import secrets
import sys
from pathlib import Path

from models.evaluation.report.document_file import replace_section, split_at_section
from models.evaluation.report.documents import Section
from models.measure.provenance import provenance
from monitor.measure.output import print_sections
from pipeline.errors import MonitorError
from tests.nightly import cluster, hostile_bytes, kills

CAMPAIGNS = {
    "kills": kills.campaign,
    "bytes": hostile_bytes.campaign,
    "cluster": cluster.campaign,
}


def main() -> int:
    """Run a campaign, print its table, and write it; 1 where something was lost or went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.nightly", description=__doc__)
    parser.add_argument("campaign", choices=sorted(CAMPAIGNS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--report", type=Path, help="a document with a place for the table")
    parser.add_argument("--seed", type=int, help="for the same campaign again; else another")
    asked = parser.parse_args()
    section = f"nightly {asked.campaign}"
    if asked.report is not None:
        split_at_section(asked.report, section)
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    table, failed = CAMPAIGNS[asked.campaign](60 * asked.minutes, seed)
    where = f"{asked.minutes:g} minutes, seed {seed}; {provenance()}."
    sections = [Section(blocks=[table, where])]
    print_sections(sections)
    if asked.report is not None:
        replace_section(asked.report, section, sections)
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MonitorError as error:
        sys.exit(str(error))
