"""Starts the ranks of a distributed test as processes of this machine."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def start_ranks(worker: Path, world: int, *words: str) -> list[subprocess.Popen[str]]:
    """Start `worker` as `world` ranks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shared = {"PATH": path, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    return [
        subprocess.Popen(
            [sys.executable, str(worker), *words],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def run_ranks(worker: Path, world: int, *words: str, timeout_s: float = 240) -> str:
    """Run `worker` as `world` ranks to the end; what rank 0 printed. A rank that fails shows its last lines."""
    ranks = start_ranks(worker, world, *words)
    outputs = [rank.communicate(timeout=timeout_s) for rank in ranks]
    assert all(rank.returncode == 0 for rank in ranks), "\n".join(errors[-3000:] for _, errors in outputs)
    return outputs[0][0]


def wait_for(happened: Callable[[], Any], what: str, timeout_s: float = 120) -> Any:
    """What `happened` gives as soon as it is true."""
    end = time.monotonic() + timeout_s
    while not (found := happened()):
        assert time.monotonic() < end, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.002)
    return found
