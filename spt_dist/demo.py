"""The whole chain as a newcomer would type it: every step is an `spt` command, shown before it runs.

Only the last step is more than a command: it starts the endpoint, asks it for one picture as a client would, and stops.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console

from spt_dist import config

PEOPLE, HELD_OUT = 2000, 100
PAIRS_EACH = 16
START_TIMEOUT_S, STOP_TIMEOUT_S = 180, 60
LAYOUT = ("img", "parsing", "keypoints.csv", "train.txt", "test.txt")
console = Console(stderr=True)


def run_demo(data: Path | None, out: Path, config_file: Path, overrides: list[str]) -> None:
    """Run every link of the chain and say where everything is.

    Raises:
        ConfigError: the configuration cannot be read.
        RuntimeError: a step failed; its own message stands above.
    """
    settings = config.load(config_file, tuple(overrides))
    size = "x".join(str(side) for side in settings.data.image_size)
    folder, shards, pairs = data or out / "people", out / "shards", out / "pairs.parquet"
    began = time.monotonic()
    if data is not None:
        _require_layout(data, out)
    _set_aside(out)
    if data is None:
        _spt("draw", folder, "--people", PEOPLE, "--held-out", HELD_OUT, "--size", size)
    _spt("pack", folder, "--out", shards, "--size", size, "--frame", "person" if data else "whole")
    _spt("pairs", shards, "--out", pairs, "-k", PAIRS_EACH, "--sheet", out / "pairs.png")
    data_settings = (f"data.shards={shards}", f"data.pseudo_pairs={pairs}")
    chosen = [word for override in (*data_settings, *overrides) for word in ("--set", override)]
    _spt("train", config_file, "--out", out, *chosen)
    _spt("evaluate", out)
    _ask_endpoint(out)
    console.print(f"\n[bold]done in {(time.monotonic() - began) / 60:.1f} minutes[/]; look at")
    for name, what in (
        ("pairs.png", "pseudo pairs: people dressed alike in other poses, from whom H_S learns"),
        ("evaluation/grid.png", "source, target pose, predicted parsing, generated, true target"),
        ("evaluation/report.html", "the report, with scores and curves"),
        ("served.png", "what the endpoint answered"),
        ("weights", "the trained generators, safetensors and card"),
        ("tensorboard", "curves and pictures: tensorboard --logdir"),
    ):
        console.print(f"  {out / name}  [dim]{what}[/]", soft_wrap=True)
    console.print(f"next: make serve RUN={out}")


def _require_layout(data: Path, out: Path) -> None:
    """Refuse a folder that would fail after minutes, or that the new run would move aside with the old one."""
    missing = [name for name in LAYOUT if not (data / name).exists()]
    if missing:
        raise config.ConfigError(f"`{data}` has no {', '.join(missing)}; a folder of photos holds {', '.join(LAYOUT)}")
    if data.resolve().is_relative_to(out.resolve()):
        raise config.ConfigError(f"`{data}` lies in `{out}`, which is about to be replaced; move it out first")


def _spt(*words: object) -> None:
    command = [str(word) for word in words]
    console.rule(f"spt {' '.join(command)}", align="left")
    if subprocess.run([_program(), *command], check=False).returncode:
        raise RuntimeError(f"`spt {command[0]}` failed; its message stands above")


def _program() -> str:
    return str(Path(sys.executable).with_name("spt"))


def _set_aside(out: Path) -> None:
    """Keep an earlier run under the time of its last change."""
    if out.exists():
        kept = out.with_name(f"{out.name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(out.stat().st_mtime))}")
        out.rename(kept)
        console.print(f"the earlier `{out}` is now `{kept}`")
    out.mkdir(parents=True)


def _ask_endpoint(run: Path) -> None:
    """Start the endpoint, generate one picture through it, save it, stop."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    console.rule(f"spt serve {run} --set serve.port={port}", align="left")
    with _endpoint(run, port) as address:
        example = json.loads((run / "gallery" / "gallery.json").read_text())
        if not example["people"]:
            raise RuntimeError(f"`{run}/gallery` is empty: no test picture shows enough joints to be an example")
        source, target = example["people"][0], example["people"][-1]
        answer = httpx.post(
            f"{address}/v1/generate",
            files={
                "image": (run / "gallery" / source["image"]).read_bytes(),
                "parsing": (run / "gallery" / source["parsing"]).read_bytes(),
            },
            data={
                name: json.dumps(pose["joints"])
                for name, pose in (("source_joints", source), ("target_joints", target))
            },
            timeout=60,
            trust_env=False,  # a proxy has no business on loopback
        )
        if answer.status_code != 200:
            raise RuntimeError(f"the endpoint answered {answer.status_code}: {answer.text[:500]}")
        (run / "served.png").write_bytes(answer.content)
    console.print(f"POST {address}/v1/generate -> {run / 'served.png'} ({len(answer.content)} bytes)")


@contextmanager
def _endpoint(run: Path, port: int) -> Iterator[str]:
    """`spt serve` in a process of its own, ready to answer; stopped at the end."""
    address = f"http://127.0.0.1:{port}"
    command = [_program(), "serve", str(run), "--set", f"serve.port={port}"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        with console.status("starting Ray Serve"):
            while not _healthy(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the endpoint did not start within {START_TIMEOUT_S} s; see its messages above")
                time.sleep(0.5)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _healthy(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
