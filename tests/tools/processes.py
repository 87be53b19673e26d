"""Starts the ranks of a distributed test as processes of this machine."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Rank(subprocess.Popen[str]):
    """One rank; what it says goes to a file, since nobody empties its pipe while the others run."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.file = tempfile.TemporaryFile("w+")  # noqa: SIM115
        weakref.finalize(self, self.file.close)
        super().__init__(command, env=os.environ | environment, stdout=self.file, stderr=subprocess.STDOUT, text=True)

    def said(self) -> str:
        """All that it printed."""
        self.file.seek(0)
        return self.file.read()


def start_ranks(worker: Path, world: int, *words: str) -> list[Rank]:
    """Start `worker` as `world` ranks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shared = {"PATH": path, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    shared |= {"MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    command = [sys.executable, str(worker), *words]
    return [Rank(command, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(world)]


def run_ranks(worker: Path, world: int, *words: str, timeout_s: float = 240) -> str:
    """Run `worker` as `world` ranks to the end; what rank 0 printed. A rank that fails shows its last lines."""
    ranks = start_ranks(worker, world, *words)
    try:
        for rank in ranks:
            rank.wait(timeout_s)
    finally:
        for rank in ranks:
            rank.kill()
    assert all(rank.returncode == 0 for rank in ranks), "\n".join(rank.said()[-3000:] for rank in ranks)
    return ranks[0].said()


def wait_for(happened: Callable[[], Any], what: str, timeout_s: float = 120) -> Any:
    """What `happened` gives as soon as it is true."""
    end = time.monotonic() + timeout_s
    while not (found := happened()):
        assert time.monotonic() < end, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.002)
    return found
