"""Send sources to the hub: one thread and one connection for each.

A source that fails ends alone. The others continue, and the failure is raised at the end.

With pseudonyms no name of a record or a device leaves this process: `stream_infos` is where a
stream gets its name, and what a device says of itself is sent without what it quotes.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.clients.ingest import PATIENCE_S, IngestClient
from pipeline.errors import EndpointError, MonitorError
from pipeline.signal.samples import SampleBlock
from pipeline.transport.curve import ClientKeys
from pipeline.transport.pseudonyms import Pseudonyms, without_quotations
from replay.source import ReportingSource, Source, SourceInfo


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
        # A report that no credit was there for goes out though the device has nothing new.
        return block is not None or client.go_on()
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
