"""Stopping when asked: by a file in the run's folder, which the command that trains writes when it is told to end.

The leader looks for it at every step; its answer reaches all ranks while they compute, and counts one step later, so
that all stop at the same one and none waits for the others to say so.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from spt_dist.train.ranks import Ranks

ASKED = "stop-asked"  # in the run's folder


class Wish:
    """Whether somebody wants the run to stop; all ranks ask together, once a step."""

    def __init__(self, run: Path, ranks: Ranks):
        self.file, self.ranks = run / ASKED, ranks
        self.group = ranks.side_group()
        self.answer: tuple[torch.Tensor, Any] | None = None  # of the step before, on its way

    def to_stop(self) -> bool:
        """Whether, one step ago, the leader found the wish."""
        wanted = self.ranks.leads and self.file.exists()
        if self.ranks.size == 1:
            return wanted
        before, mine = self.answer, torch.tensor(float(wanted))
        self.answer = mine, dist.all_reduce(mine, group=self.group, async_op=True)
        if before is None:
            return False
        told, work = before
        work.wait()
        return bool(told.item())


@contextmanager
def asking_on_signal(run: Path) -> Iterator[None]:
    """Within, SIGTERM asks the run to save and stop; elsewhere than in the main thread, which gets signals, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: (run / ASKED).touch())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
