"""Parse ``monitor bench``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import Data, Json

bench_app = typer.Typer()


@bench_app.command()
def bench(
    data: Data = None,
    as_json: Json = False,
    json_file: Annotated[Optional[Path], typer.Option(help="Write JSON here.")] = None,  # noqa: UP045
    report: Annotated[Optional[Path], typer.Option(help="Write Markdown here.")] = None,  # noqa: UP045
    scale: Annotated[
        bool, typer.Option("--scale", help="Measure only how many patients one hub takes.")
    ] = False,
    streams: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="With --scale: measure this number of streams only."),
    ] = None,
    chunk: Annotated[
        float, typer.Option(min=5, max=1000, help="With --streams: milliseconds in a chunk.")
    ] = 20,
    full_speed: Annotated[
        bool, typer.Option("--full-speed", help="With --streams: not live, as fast as they go.")
    ] = False,
    devices: Annotated[
        bool,
        typer.Option("--devices", help="With --streams: synthetic devices, as `monitor live` has."),
    ] = False,
    screen: Annotated[
        bool,
        typer.Option("--screen", help="Measure only dashboard, wall and the report of a night."),
    ] = False,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Measure only what a second worker of a cluster gains."),
    ] = False,
) -> None:
    """Measure kernels, student, throughput, latency and memory on this machine."""
    from monitor.measure.bench import bench as run_bench
    from monitor.measure.bench import bench_cluster, bench_scale, bench_screen
    from monitor.measure.bench_scale import Case

    if screen:
        bench_screen(data, as_json=as_json)
        return
    if cluster:
        bench_cluster(as_json=as_json)
        return
    if scale or streams is not None:
        one = Case(streams or 0, None if full_speed else chunk, devices)
        bench_scale([] if streams is None else [one], as_json=as_json)
        return
    run_bench(data, as_json=as_json, json_file=json_file, report=report)
