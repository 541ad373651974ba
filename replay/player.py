"""Send sources to the hub, all of a process in one loop and over one connection.

Each turn brings what has become due of each, in as few frames as hold it. Records do not wait; a
device is read in a thread of its own, which wakes the loop.

A source that fails ends alone. The others continue, and the failure is raised at the end.

With pseudonyms no name of a record or a device leaves this process: `stream_infos` is where a
stream gets its name, and what a device says of itself is sent without what it quotes.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from pipeline.clients.ingest import PATIENCE_S, IngestClient
from pipeline.clients.lines import SharedLine
from pipeline.errors import EndpointError, MonitorError
from pipeline.transport.curve import ClientKeys
from pipeline.transport.pseudonyms import Pseudonyms, without_quotations
from replay.pacing import wait_s
from replay.reader_thread import ThreadedSource
from replay.source import PacedSource, ReportingSource, Source, SourceInfo, SourceReport

_TICK_S: Final = 0.01
"""A source that waits for the hub is looked at this often."""

_LEAST_WAIT_S: Final = 0.005
"""What is due of several within this time after each other is sent together."""

_ASK_STOP_S: Final = 0.25
"""A device that sends nothing is looked at this often, for the hub may have answered."""

_END_S: Final = 60.0


def stream_infos(
    sources: Sequence[Source], pseudonyms: Pseudonyms | None = None
) -> list[SourceInfo]:
    """Return the `SourceInfo` of each source, with unique stream names: 100, 100-2, 100-3.

    With ``pseudonyms`` each has the pseudonym of that name in its place.
    """
    seen: Counter[str] = Counter()
    infos = []
    for source in sources:
        name = source.info.stream
        seen[name] += 1
        while seen[name] > 1:
            name = f"{source.info.stream[:58]}-{seen[source.info.stream]}"
            seen[name] += 1
        stream = name if pseudonyms is None else pseudonyms.of(name)
        infos.append(replace(source.info, stream=stream))
    return infos


def play(
    sources: Sequence[Source],
    ingest: str,
    stop: Callable[[], bool],
    *,
    paced: bool = True,
    resume: bool = False,
    keys: ClientKeys | None = None,
    pseudonyms: Pseudonyms | None = None,
) -> None:
    """Send every source to its end, or until ``stop`` returns True, and close them all.

    Args:
        sources: devices, which wait for their samples, or records, which yield None where nothing
            is due.
        ingest: the hub's address for sources.
        stop: asked many times a second.
        paced: whether samples become due with time; otherwise as the hub gives credit.
        resume: continue where sources of the same names stopped.
        keys: for a hub that asks for keys.
        pseudonyms: for names that the hub must not learn.

    Raises:
        MonitorError: the first failure of a source, after the others have ended.
    """
    failures: list[BaseException] = []
    arrived = threading.Event()
    infos = stream_infos(sources, pseudonyms)
    devices = {
        n: ThreadedSource(sources[n], arrived)
        for n, info in enumerate(infos)
        if info.total_samples is None
    }
    without_waits = [devices.get(n, source) for n, source in enumerate(sources)]
    with SharedLine(ingest, keys) as line:
        under_way = []
        for n, (source, info) in enumerate(zip(without_waits, infos, strict=True)):
            client = _client(info, ingest, line, stop, resume)
            steps = _steps(client, source, info, ingest, paced=paced, quotations=pseudonyms is None)
            under_way.append(_Way(steps, devices.get(n)))
        try:
            while under_way and not stop():
                line.receive()
                now = time.monotonic()
                due = [one for one in under_way if one.due_at <= now or one.arrived]
                for one in due:
                    one.step(failures)
                if any(one.over for one in due):
                    under_way = [one for one in under_way if not one.over]
                line.flush()
                next_at = min([one.due_at for one in under_way], default=now)
                if under_way and paced:
                    _wait(arrived, next_at, several=len(under_way) > 1)
                elif next_at > now:
                    line.wait(_ASK_STOP_S)
        finally:
            for source in without_waits:
                source.close()
            for device in devices.values():
                device.join()
    if failures:
        raise failures[0]


def _client(
    info: SourceInfo, ingest: str, line: SharedLine, stop: Callable[[], bool], resume: bool
) -> IngestClient:
    return IngestClient(
        ingest,
        stream=info.stream,
        fs_hz=info.fs_hz,
        lead=info.lead,
        leads=info.leads if len(info.leads) > 1 else (),
        stop=stop,
        live=info.total_samples is None,
        resume=resume,
        line=line.of(info.stream),
    )


def _wait(arrived: threading.Event, next_at: float, *, several: bool) -> None:
    """Wait until something is due, or has arrived; a little longer where more may come with it."""
    began = time.monotonic()
    arrived.wait(min(max(next_at - began, 0.0), _ASK_STOP_S))
    if several and (left_s := began + _LEAST_WAIT_S - time.monotonic()) > 0:
        wait_s(left_s)
    arrived.clear()


class _Way:
    """One of many sources on its way to the hub."""

    __slots__ = ("_steps", "arrived", "due_at", "over")

    def __init__(self, steps: Iterator[float], device: ThreadedSource | None) -> None:
        """Prepare to take the steps of a source, which may be a device."""
        self._steps = steps
        self.arrived: Collection[object] = () if device is None else device.arrived
        """What a device has brought."""
        self.due_at = 0.0
        """When its next step is, by the monotonic clock, unless something arrives before."""
        self.over = False

    def step(self, failures: list[BaseException]) -> None:
        """Do the next step, and add its failure to ``failures``."""
        try:
            self.due_at = next(self._steps)
        except StopIteration:
            self.over = True
        except Exception as error:
            failures.append(error)
            self.over = True


def _steps(
    client: IngestClient,
    source: Source,
    info: SourceInfo,
    ingest: str,
    *,
    paced: bool,
    quotations: bool,
) -> Iterator[float]:
    """Send one source; yield when the next step is, 0 where it need not wait for anything.

    At full speed a step is one block, so that the records take turns. Without ``quotations``, what
    a device says of itself names no path and repeats none of its text.
    """
    try:
        while (start := client.begin()) is None:
            yield time.monotonic() + _TICK_S
        if start.over:
            return
        source.seek(start.epoch, start.sample)
        failure: MonitorError | None = None
        if info.total_samples is None:
            # The stream is there from now on, whatever a device sends and when.
            client.report()
        try:
            yield from _blocks_sent(client, source, info, paced=paced, quotations=quotations)
        except EndpointError:
            raise  # the hub takes nothing more of this source, and has an alarm that says why
        except MonitorError as error:
            # The samples sent so far are valid: the stream ends where its source failed.
            failure = error
        client.end()
        give_up_at = time.monotonic() + _END_S
        while not client.is_written:
            yield time.monotonic() + _TICK_S
            client.pump()
            if time.monotonic() > give_up_at:
                raise EndpointError(f"{info.stream}: the hub at {ingest} does not answer")
        if failure is not None:
            raise failure
    finally:
        source.close()


def _blocks_sent(
    client: IngestClient, source: Source, info: SourceInfo, *, paced: bool, quotations: bool
) -> Iterator[float]:
    """Send what a source yields and reports, until it ends; yield as `_steps`."""
    live, leads = info.total_samples is None, len(info.leads)
    due_source = source if isinstance(source, PacedSource) else None
    reporting = source if isinstance(source, ReportingSource) else None
    for block in source.blocks():
        if block is not None:
            if block.leads != leads:
                yield from _other_leads(client, info, block.leads)
            client.offer(block)
            while not (live or client.has_credit):
                yield time.monotonic() + _TICK_S
                client.pump()
        report = None if reporting is None else reporting.report()
        if report is not None:
            _send_report(client, report, quotations=quotations)
        if block is not None:
            if not (paced and client.has_credit):
                yield 0.0  # a device that sends fast has credit again once the hub has answered
            elif due_source is not None and (due_at := due_source.due_at) > time.monotonic():
                yield due_at
        elif due_source is not None:
            yield due_source.due_at
        else:
            client.pump()  # what waited for credit goes out
            idle = live and client.has_credit
            yield time.monotonic() + (_ASK_STOP_S if idle else _TICK_S)


def _send_report(client: IngestClient, report: SourceReport, *, quotations: bool) -> None:
    fault = report.fault if quotations else without_quotations(report.fault)
    client.report(report.unreadable, fault)


def _other_leads(client: IngestClient, info: SourceInfo, leads: int) -> Iterator[float]:
    """Say to the hub, for its alarm, that a lead has appeared or vanished; then raise the error.

    Nothing says which leads these are: their samples would be taken for those of others.
    """
    why = f"it sends {leads} leads now, and began with {len(info.leads)}: start the source again"
    client.report(fault=why)
    give_up_at = time.monotonic() + PATIENCE_S
    while not client.is_written and time.monotonic() < give_up_at:
        yield time.monotonic() + _TICK_S
        client.pump()
    raise EndpointError(f"{info.stream}: {why}")
