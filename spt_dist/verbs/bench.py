"""`spt bench ...`: measure, side by side with the published way."""

from pathlib import Path
from typing import Annotated

import typer

from spt_dist.verbs.shared import app

bench_app = typer.Typer(no_args_is_help=True, help="Measure, side by side with the published way.")
app.add_typer(bench_app, name="bench")


@bench_app.command("kernels")
def bench_kernels(
    op: Annotated[str, typer.Argument(help="An op, or `all`; `list` names ops and shapes.")] = "all",
    data: Annotated[Path | None, typer.Option(help="A folder of photos at 256x256 px; drawn people without.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Renew the table in a page.")] = None,
) -> None:
    """Time every kernel op against the published way, on people; `python -m spt_kernels.bench` has more options."""
    from tempfile import TemporaryDirectory

    from spt_kernels.bench.__main__ import main as run_bench
    from spt_kernels.bench.scene import PEOPLE

    from spt_dist.bench_scene import main as write_scene

    with TemporaryDirectory() as folder:
        scene = PEOPLE
        if data is not None:
            scene = Path(folder) / f"{data.name}.npz"
            write_scene(scene, data)
        run_bench(op, device, scene=scene, json_file=json_file, plot=plot, markdown=markdown)
