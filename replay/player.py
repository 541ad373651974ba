"""Send sources to the hub: one thread and one connection for each.

A source that fails ends alone: the others play on, and the failure is raised at the end.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.clients.ingest import IngestClient
from pipeline.errors import EndpointError, MonitorError
from pipeline.transport.curve import ClientKeys
from replay.source import Source, SourceInfo


def stream_infos(sources: Sequence[Source]) -> list[SourceInfo]:
    """Return what is known of each source, with names that differ: 100, 100-2, 100-3."""
    seen: Counter[str] = Counter()
    infos = []
    for source in sources:
        name = source.info.stream
        seen[name] += 1
        while seen[name] > 1:
            name = f"{source.info.stream[:58]}-{seen[source.info.stream]}"
            seen[name] += 1
        infos.append(replace(source.info, stream=name))
    return infos


def play(
    sources: Sequence[Source],
    ingest: str,
    stop: Callable[[], bool],
    *,
    resume: bool = False,
    keys: ClientKeys | None = None,
) -> None:
    """Send every source to its end, or until ``stop`` says so, and close them all.

    With ``resume`` they go on where sources of their names stopped. ``keys`` are shown to a hub
    that asks for them.

    Raises:
        MonitorError: the first failure of a source, after the others have ended.
    """
    failures: list[BaseException] = []

    def run(source: Source, info: SourceInfo) -> None:
        try:
            send(source, info, ingest, stop, resume=resume, keys=keys)
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=run, args=pair, name=pair[1].stream, daemon=True)
        for pair in zip(sources, stream_infos(sources), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        # A thread notices ``stop`` by itself, within the 250 ms that a source may be silent.
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
) -> None:
    """Send one source under the name in ``info``; with ``resume``, from where the hub has it."""
    live = info.total_samples is None
    try:
        with IngestClient(
            ingest,
            stream=info.stream,
            fs_hz=info.fs_hz,
            lead=info.lead,
            stop=stop,
            live=live,
            resume=resume,
            keys=keys,
        ) as feeder:
            start = feeder.handshake()
            if start is None or start.over:
                return
            source.seek(start.epoch, start.sample)
            failure: MonitorError | None = None
            try:
                for block in source.blocks():
                    if stop():
                        return
                    if block is not None and not feeder.send(block):
                        return
            except MonitorError as error:
                # What was sent stays valid: the stream ends where its source failed.
                failure = error
            if not feeder.finish() and not stop():
                raise EndpointError(f"{info.stream}: the hub at {ingest} does not answer")
            if failure is not None:
                raise failure
    finally:
        source.close()
