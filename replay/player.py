"""Send sources to the hub: a device, or one record, in a thread over a connection of its own.

Many records share one thread and one connection (`play_together`): each tick brings what has become
due of each, in as few frames as hold it.

A source that fails ends alone. The others continue, and the failure is raised at the end.

With pseudonyms no name of a record or a device leaves this process: `stream_infos` is where a
stream gets its name, and what a device says of itself is sent without what it quotes.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from pipeline.clients.ingest import PATIENCE_S, IngestClient
from pipeline.clients.lines import SharedLine
from pipeline.errors import EndpointError, MonitorError
from pipeline.signal.samples import SampleBlock
from pipeline.transport.curve import ClientKeys
from pipeline.transport.pseudonyms import Pseudonyms, without_quotations
from replay.pacing import wait_s
from replay.source import PacedSource, ReportingSource, Source, SourceInfo

_TICK_S: Final = 0.01
"""A record that waits for the hub is looked at so often."""

_LEAST_WAIT_S: Final = 0.005
"""Records that are due within this time after each other are sent together."""

_ASK_STOP_S: Final = 0.25
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
    resume: bool = False,
    keys: ClientKeys | None = None,
    pseudonyms: Pseudonyms | None = None,
) -> None:
    """Send every source to its end, or until ``stop`` returns True, and close them all.

    With ``resume`` they continue where sources of the same names stopped. ``keys`` are for a hub
    that requires them, ``pseudonyms`` for names that the hub must not learn.

    Raises:
        MonitorError: the first failure of a source, after the others have ended.
    """
    failures: list[BaseException] = []

    def run(source: Source, info: SourceInfo) -> None:
        try:
            send(
                source,
                info,
                ingest,
                stop,
                resume=resume,
                keys=keys,
                quotations=pseudonyms is None,
            )
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=run, args=pair, name=pair[1].stream, daemon=True)
        for pair in zip(sources, stream_infos(sources, pseudonyms), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        # A thread checks ``stop`` itself, at least every 250 ms.
        thread.join()
    if failures:
        raise failures[0]


def send(
    source: Source,
    info: SourceInfo,
    ingest: str,
    stop: Callable[[], bool],
    *,
    resume: bool = False,
    keys: ClientKeys | None = None,
    quotations: bool = True,
) -> None:
    """Send one source under the name in ``info``; with ``resume``, from the hub's last sample.

    Without ``quotations``, what a device says of itself names no path and repeats none of its text.
    """
    live = info.total_samples is None
    try:
        with IngestClient(
            ingest,
            stream=info.stream,
            fs_hz=info.fs_hz,
            lead=info.lead,
            leads=info.leads if len(info.leads) > 1 else (),
            stop=stop,
            live=live,
            resume=resume,
            keys=keys,
        ) as client:
            start = client.handshake()
            if start is None or start.over:
                return
            source.seek(start.epoch, start.sample)
            failure: MonitorError | None = None
            # The stream is there from now on, whatever a device sends and when.
            if live and not client.report():
                return
            try:
                for block in source.blocks():
                    if stop() or not _sent(client, source, block, quotations=quotations):
                        return
            except EndpointError:
                raise  # the hub takes nothing more of this source, and has an alarm that says why
            except MonitorError as error:
                # The samples sent so far are valid: the stream ends where its source failed.
                failure = error
            if not client.finish() and not stop():
                raise EndpointError(f"{info.stream}: the hub at {ingest} does not answer")
            if failure is not None:
                raise failure
    finally:
        source.close()


def _sent(
    client: IngestClient, source: Source, block: SampleBlock | None, *, quotations: bool
) -> bool:
    """Send what a source yields and reports; False if the client was told to stop."""
    if block is not None and block.leads != len(source.info.leads):
        raise _other_leads(client, source.info, block.leads)
    if block is not None and not client.send(block):
        return False
    report = source.report() if isinstance(source, ReportingSource) else None
    if report is None:
        if block is None:
            client.pump()  # a report goes out, though nothing new was there when it got no credit
        return True
    fault = report.fault if quotations else without_quotations(report.fault)
    return client.report(report.unreadable, fault)


def _other_leads(client: IngestClient, info: SourceInfo, leads: int) -> EndpointError:
    """Say to the hub, for its alarm, that a lead has appeared or vanished; return the error.

    Nothing says which leads these are: their samples would be taken for those of others.
    """
    why = f"it sends {leads} leads now, and began with {len(info.leads)}: start the source again"
    client.report(fault=why)
    client.settle(PATIENCE_S)
    return EndpointError(f"{info.stream}: {why}")


def play_together(
    sources: Sequence[Source],
    ingest: str,
    stop: Callable[[], bool],
    *,
    paced: bool,
    resume: bool = False,
    keys: ClientKeys | None = None,
    pseudonyms: Pseudonyms | None = None,
) -> None:
    """Send every record to its end, or until ``stop`` returns True, and close them all.

    Args:
        sources: that do not wait: they yield None where nothing is due.
        ingest: the hub's address for sources.
        stop: asked many times a second.
        paced: whether samples become due with time; otherwise as the hub gives credit.
        resume: continue where sources of the same names stopped.
        keys: for a hub that asks for keys.
        pseudonyms: for names that the hub must not learn.

    Raises:
        MonitorError: the first failure of a record, after the others have ended.
    """
    failures: list[BaseException] = []
    with SharedLine(ingest, keys) as line:

        def begun(source: Source, info: SourceInfo) -> Iterator[float]:
            client = IngestClient(
                ingest,
                stream=info.stream,
                fs_hz=info.fs_hz,
                lead=info.lead,
                leads=info.leads if len(info.leads) > 1 else (),
                stop=stop,
                resume=resume,
                line=line.of(info.stream),
            )
            return _way(client, source, info, ingest, paced=paced)

        pairs = zip(sources, stream_infos(sources, pseudonyms), strict=True)
        under_way = [_Way(begun(source, info)) for source, info in pairs]
        try:
            while under_way and not stop():
                line.receive()
                now = time.monotonic()
                for one in under_way:
                    if one.due_at <= now or not paced:
                        one.step(failures)
                under_way = [one for one in under_way if not one.over]
                line.flush()
                next_at = min((one.due_at for one in under_way), default=now)
                if under_way and paced:
                    left_s = next_at - time.monotonic()
                    wait_s(min(max(left_s, _LEAST_WAIT_S), _ASK_STOP_S))
                elif next_at > now:
                    line.wait(_ASK_STOP_S)
        finally:
            for source in sources:
                source.close()
    if failures:
        raise failures[0]


class _Way:
    """One of many records on its way to the hub."""

    __slots__ = ("_steps", "due_at", "over")

    def __init__(self, steps: Iterator[float]) -> None:
        self._steps = steps
        self.due_at = 0.0
        """When its next step is, by the monotonic clock."""
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


def _way(
    client: IngestClient, source: Source, info: SourceInfo, ingest: str, *, paced: bool
) -> Iterator[float]:
    """Send one record; yield when the next step is, 0 where it need not wait for anything.

    At full speed a step is one block, so that the records take turns.
    """
    paced_source = source if isinstance(source, PacedSource) else None
    while (start := client.begin()) is None:
        yield time.monotonic() + _TICK_S
    if start.over:
        return
    source.seek(start.epoch, start.sample)
    failure: MonitorError | None = None
    try:
        for block in source.blocks():
            if block is None:
                yield time.monotonic() + _TICK_S if paced_source is None else paced_source.due_at
                continue
            client.offer(block)
            while not client.has_credit:
                yield time.monotonic() + _TICK_S
                client.pump()
            if not paced:
                yield 0.0
    except EndpointError:
        raise
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
