"""Some of the leads of a device, as a source of its own: those asked for, or the usual ones."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from pipeline.errors import LeadError
from pipeline.signal.samples import SampleBlock
from replay.headers import quoted
from replay.lead_sets.choice import ALL, DEFAULT_LEADS
from replay.leads import enumerated, preference_of
from replay.signal_names import plain_name
from replay.source import ReportingSource, Source, SourceInfo, SourceReport

_LIMB: Final = frozenset({"I", "II", "III", "AVR", "AVL", "AVF"})
"""Leads of three electrodes: any two of them give the other four (Einthoven, Goldberger)."""


def usual_leads(names: Sequence[str]) -> list[str]:
    """Return the leads of a device that are watched where none is asked for.

    All of them where they are three at most. Of more, as of a record: the usual ones for rhythm
    first, and no lead that adds no view, which a third limb lead does not; then in their order.
    """
    if len(names) <= DEFAULT_LEADS:
        return list(names)
    ordered = sorted(names, key=preference_of)
    limb = [name for name in ordered if plain_name(name) in _LIMB]
    views = [name for name in ordered if name not in limb[2:]]
    return views[:DEFAULT_LEADS]


def usual_leads_text(names: Sequence[str]) -> str:
    """Return one line about `usual_leads`; empty where all are taken."""
    taken = usual_leads(names)
    if len(taken) == len(names):
        return ""
    others = [quoted(name) for name in names if name not in taken]
    return (
        f"leads {enumerated(list(map(quoted, taken)))} are taken, at most {DEFAULT_LEADS} by "
        f"default; {enumerated(others)} are not; --lead takes others"
    )


class SelectedLeads:
    """A source of which only some leads are taken. Not thread-safe."""

    def __init__(self, source: Source, asked: str | None) -> None:
        """Take the leads of ``source`` that ``asked`` names, by name or index, or all.

        None takes the usual ones (`usual_leads`).

        Raises:
            LeadError: it has no such lead, or one is named twice; the source is closed.
        """
        self._source = source
        try:
            self._rows = _rows(source.info.leads, asked)
        except LeadError:
            source.close()
            raise
        names = tuple(source.info.leads[row] for row in self._rows)
        self._info = replace(source.info, leads=names)

    @property
    def info(self) -> SourceInfo:
        """Return the properties of the source, with the leads that are taken."""
        return self._info

    def blocks(self) -> Iterator[SampleBlock | None]:
        """Yield the blocks of the source, each with the leads that are taken."""
        for block in self._source.blocks():
            yield None if block is None else self._of_rows(block)

    def _of_rows(self, block: SampleBlock) -> SampleBlock:
        if block.samples.ndim == 1:
            return block
        rows = self._rows[0] if len(self._rows) == 1 else self._rows
        flags = None if block.flags is None else block.flags[rows]
        return SampleBlock(
            block.first_sample,
            block.samples[rows],
            flags if flags is not None and flags.any() else None,
            epoch=block.epoch,
            stamp_s=block.stamp_s,
        )

    def seek(self, epoch: int, sample: int) -> None:
        """Make `blocks` begin there, as the source can."""
        self._source.seek(epoch, sample)

    def close(self) -> None:
        """Release the device; safe to call twice."""
        self._source.close()

    def report(self) -> SourceReport | None:
        """Return what the source reports, where it is one that does."""
        return self._source.report() if isinstance(self._source, ReportingSource) else None


def _rows(leads: tuple[str, ...], asked: str | None) -> list[int]:
    """Return the places of the leads that a text names, or of the usual ones."""
    if asked is None:
        return [leads.index(name) for name in usual_leads(leads)]
    if asked == ALL:
        return list(range(len(leads)))
    rows: list[int] = []
    folded = [lead.upper() for lead in leads]
    for name in asked.split(","):
        wanted = name.strip().upper()
        if wanted in folded:
            row = folded.index(wanted)
        elif wanted.isascii() and wanted.isdigit() and len(wanted) < 4 and int(wanted) < len(leads):
            row = int(wanted)
        else:
            has = ", ".join(map(quoted, leads))
            raise LeadError(f"the device has no lead {quoted(name)}; it has {has}")
        if row in rows:
            raise LeadError(f"lead {quoted(leads[row])} of the device is named twice")
        rows.append(row)
    return rows
