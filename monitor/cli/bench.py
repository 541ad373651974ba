"""Parse ``monitor bench``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import Data, Json

JsonFile = Annotated[Optional[Path], typer.Option(help="Write JSON here.")]  # noqa: UP045
Report = Annotated[Optional[Path], typer.Option(help="Write Markdown here.")]  # noqa: UP045
Core = Annotated[
    bool,
    typer.Option("--core", help="Measure only kernels, models and streams in one process."),
]
Scale = Annotated[
    bool, typer.Option("--scale", help="Measure only how many patients one hub takes.")
]
Streams = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="With --scale: measure this number of streams only."),
]
Chunk = Annotated[
    float, typer.Option(min=5, max=1000, help="With --streams: milliseconds in a chunk.")
]
FullSpeed = Annotated[
    bool, typer.Option("--full-speed", help="With --streams: not live, as fast as they go.")
]
Devices = Annotated[
    bool,
    typer.Option("--devices", help="With --streams: synthetic devices, as `monitor live` has."),
]
Screen = Annotated[
    bool,
    typer.Option("--screen", help="Measure only dashboard, wall and the report of a night."),
]
Workers = Annotated[
    bool,
    typer.Option("--cluster", help="Measure only what a second worker of a cluster gains."),
]
Beside = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        metavar="DIR",
        help="Measure the same in another checkout of this project, such as a git worktree of an "
        "earlier commit, in turns with this one, and print both and their ratio.",
    ),
]
Rounds = Annotated[
    int, typer.Option(min=1, help="With --beside: times that each of the two is measured.")
]

bench_app = typer.Typer()


@bench_app.command()
def bench(
    data: Data = None,
    as_json: Json = False,
    json_file: JsonFile = None,
    report: Report = None,
    core: Core = False,
    scale: Scale = False,
    streams: Streams = None,
    chunk: Chunk = 20,
    full_speed: FullSpeed = False,
    devices: Devices = False,
    screen: Screen = False,
    cluster: Workers = False,
    beside: Beside = None,
    rounds: Rounds = 3,
) -> None:
    """Measure kernels, student, throughput, latency and memory on this machine."""
    if beside is not None:
        if report is not None:
            raise typer.BadParameter("not with --beside", param_hint="--report")
        from monitor.measure.beside import compare

        asked = {
            "--core": core,
            "--scale": scale,
            "--full-speed": full_speed,
            "--devices": devices,
            "--screen": screen,
            "--cluster": cluster,
        }
        options = [name for name, is_asked in asked.items() if is_asked]
        if streams is not None:
            options += ["--streams", str(streams), "--chunk", f"{chunk:g}"]
        compare(beside, options, rounds=rounds, data=data, as_json=as_json, json_file=json_file)
        return

    from monitor.measure.bench import bench as run_bench
    from monitor.measure.bench import bench_cluster, bench_core, bench_scale, bench_screen
    from monitor.measure.bench_scale import Case

    if core:
        bench_core(as_json=as_json)
    elif screen:
        bench_screen(data, as_json=as_json)
    elif cluster:
        bench_cluster(as_json=as_json)
    elif scale or streams is not None:
        one = Case(streams or 0, None if full_speed else chunk, devices)
        bench_scale([] if streams is None else [one], as_json=as_json)
    else:
        run_bench(data, as_json=as_json, json_file=json_file, report=report)
