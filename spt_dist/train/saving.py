"""Checkpoints are written beside the training: a save copies what will change, and a thread writes the copies.

    every rank, at once    waits for its save before, if that is not done yet; copies its part into memory
    every rank's thread    writes, flushes and sums up the copies
    all threads together   agree that all went well; then the leader gives the folder its name and forgets old ones

Nothing half written gets a checkpoint's name. A save that fails, as on a full disk, costs that save alone: what it
wrote is removed, the run's events say why, and training goes on.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from spt_dist import config
from spt_dist.data.pack import flush
from spt_dist.models.weights import write_tensors
from spt_dist.train import checkpoint
from spt_dist.train.checkpoint import AVERAGE, FOLDER, HIDDEN, META, SUMS
from spt_dist.train.mirror import Mirror
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import State
from spt_dist.train.validation import better

Files = list[tuple[Path, Any]]
Meta = dict[str, Any]


class Saver:
    """One rank's share of every save; all ranks call every method together."""

    def __init__(self, run: Path, train: config.Train, ranks: Ranks, tell: Callable[[str], None]):
        self.folder, self.train, self.ranks, self.tell = run / FOLDER, train, ranks, tell
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="save")
        self.threads = ranks.side_group()
        self.pending: Future[bool] | None = None
        self.saved_imgs = -1
        self.mirror = Mirror(train.mirror) if train.mirror and ranks.leads else None

    def save(self, state: State, meta: Meta) -> None:
        """Copy the state, and begin to write the copy."""
        if state.position.images == self.saved_imgs:
            return
        self.settle()
        self.saved_imgs = state.position.images
        final = self.folder / f"{state.position.images:012d}"
        writing = final.with_name(HIDDEN + final.name)
        files: Files = []
        for name, engine in state.engines.items():
            engine.save(writing / name, lambda path, part: files.append((path, in_memory(part))))
        if self.ranks.leads:
            for name, average in state.averages.items():
                files.append((writing / AVERAGE.format(name), in_memory(average.module.state_dict())))
            files.append((writing / META, meta))
        self.pending = self.thread.submit(self._write, files, writing, final)

    def settle(self) -> bool:
        """Wait for the save that is being written; False when it failed."""
        pending, self.pending = self.pending, None
        whole = pending is None or pending.result()
        if not whole:
            self.saved_imgs = -1
        return whole

    def clear(self) -> None:
        """Remove what a killed run left half written."""
        if self.ranks.leads:
            for left in self.folder.glob(f"{HIDDEN}*"):
                shutil.rmtree(left)
        self.ranks.barrier()

    def _write(self, files: Files, writing: Path, final: Path) -> bool:
        written = False
        try:
            sums = {path.relative_to(writing).as_posix(): write(path, content) for path, content in files}
            write(writing / SUMS.format(self.ranks.rank), sums)
            written = True
        except (OSError, RuntimeError) as error:  # the disk's, and what torch makes of it
            for path, _ in files:
                path.unlink(missing_ok=True)
            self.tell(f"the save after {int(final.name):,} images failed, the one before stays the newest: {error}")
        finally:
            whole = self.ranks.all(written, self.threads)
        return self.ranks.all(not self.ranks.leads or self._publish(writing, final, whole), self.threads)

    def _publish(self, writing: Path, final: Path, whole: bool) -> bool:
        """Give the folder its name, or remove it; whether it has its name."""
        try:
            if whole:
                checkpoint.publish(writing, final)
                self._forget()
        except OSError as error:
            self.tell(f"the save after {int(final.name):,} images has no name yet, or an old one could not go: {error}")
        if not final.exists():
            shutil.rmtree(writing, ignore_errors=True)
            return False
        self.copy(lambda mirror: mirror.push(final))
        return True

    def copy(self, push: Callable[[Mirror], None]) -> None:
        """Copy something to the second place, if there is one; what fails costs that copy only."""
        try:
            if self.mirror is not None:
                push(self.mirror)
        except OSError as error:
            self.tell(f"a copy to `{self.train.mirror}` failed: {error}")

    def _forget(self) -> None:
        """Remove all but the last and the best."""
        found = checkpoint.all_of(self.folder.parent)
        best = rank_by_score(found, self.train.best_metric)[: self.train.keep_best]
        for old in found[: -self.train.keep_checkpoints]:
            if old not in best:
                shutil.rmtree(old)


def in_memory(content: Any) -> Any:
    """The same nested content, its tensors copied into this process's memory."""
    return tree_map_only(Tensor, lambda tensor: tensor.detach().to("cpu", copy=True).contiguous(), content)


def write(path: Path, content: Any) -> tuple[int, str]:
    """Write content as the name's ending says, down to the disk; its size in bytes and SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(content, indent=1))
    elif path.suffix == ".safetensors":
        write_tensors(content, path)
    else:
        with path.open("wb") as file:
            torch.save(content, file)
    flush(path)
    return path.stat().st_size, checkpoint.sha256(path)


def rank_by_score(paths: Iterable[Path], metric: str) -> list[Path]:
    """The checkpoints whose averages have a score by `metric`, the best first."""
    scores = {path: checkpoint.read_meta(path).get("scores", {}) for path in paths}
    scored = {path: each[metric] for path, each in scores.items() if metric in each}
    return sorted(scored, key=lambda path: better(metric) * scored[path], reverse=True)
