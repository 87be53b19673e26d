"""What a run tells while it trains: a line of JSON per report or validation, TensorBoard scalars, and pictures.

The training step only hands over detached tensors; they are read, all at once, when a report is due.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from spt_dist.run_log import add_lines, read_lines, tell_event
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import Position


class NonFiniteLossError(ArithmeticError):
    """A loss became NaN or infinite; the last checkpoint is good."""


class RunLog:
    """Collects terms; writes on the leading rank only."""

    def __init__(self, run: Path, ranks: Ranks):
        self.ranks = ranks
        self.file = run / "log.jsonl"
        self.terms: dict[str, list[Tensor]] = {}
        self.unwritten: list[dict[str, Any]] = []
        self.since = (time.monotonic(), time.process_time(), 0)
        self.board = SummaryWriter(str(run / "tensorboard")) if ranks.leads else None

    def collect(self, terms: dict[str, Tensor]) -> None:
        """Keep the terms of a step, without waiting for the device."""
        for name, term in terms.items():
            self.terms.setdefault(name, []).append(term)

    def forget_after(self, position: Position) -> None:
        """Drop the lines that a resumed run is about to write again, and one that a killed run left half written."""
        if self.ranks.leads and self.file.exists():
            kept = [line for line in read_lines(self.file) if line["all_images"] <= position.images]
            self.file.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def begin(self, position: Position, remarks: Iterable[str]) -> None:
        """Tell where, on which process of which machine, this rank begins; all ranks call it."""
        for remark in remarks if self.ranks.leads else ():
            self.event(remark)
        begun = f"goes on after {position.images:,} images" if position.images else "begins"
        tell_event(
            self.file.parent,
            f"rank {self.ranks.rank} of {self.ranks.size} {begun}",
            rank=self.ranks.rank,
            ranks=self.ranks.size,
            images=position.images,
            host=socket.gethostname(),
            pid=os.getpid(),
        )

    def start(self, position: Position) -> None:
        """Measure the pace from here."""
        self.since = (time.monotonic(), time.process_time(), position.images)
        self.terms.clear()

    def report(self, position: Position, of_images: int) -> dict[str, float]:
        """Mean terms since the last report, over all ranks, written and given back; all ranks call it together.

        Raises:
            NonFiniteLossError: a mean is NaN or infinite.
        """
        names = list(self.terms)
        values = [torch.stack(self.terms[name]).mean() for name in names]
        means = dict(zip(names, self.ranks.mean(torch.stack(values)).tolist(), strict=True)) if names else {}
        bad = [name for name, value in means.items() if not np.isfinite(value)]
        if bad:
            raise NonFiniteLossError(
                f"{', '.join(bad)} became non-finite in stage `{position.stage}` at {position.stage_images} images; "
                "lower the stage's learning rate or set train.clip, then resume from the last checkpoint"
            )
        seconds, cpu_seconds, pace = self._pace(position)
        if self.ranks.leads:
            line = {
                "stage": position.stage,
                "images": position.stage_images,
                "all_images": position.images,
                "of_images": of_images,
                "seconds": round(seconds, 3),
                "cpu_seconds": round(cpu_seconds, 3),
                "images_per_s": round(pace, 3),
                "terms": {name: float(f"{value:.7g}") for name, value in means.items()},
            }
            self._write(line)
            self._draw(means | {"pace/images_per_s": pace}, position)
        self.start(position)
        return means

    def picture(self, name: str, draw: Callable[[], np.ndarray], position: Position) -> None:
        """Show the uint8 picture [h, w, 3] that `draw` gives; it is drawn on the leading rank only."""
        if self.ranks.leads:
            with self.paused():
                self._on_board(lambda board: board.add_image(name, draw(), position.images, dataformats="HWC"))

    def event(self, what: str) -> None:
        """Tell what happened to the run; any rank may call it."""
        tell_event(self.file.parent, what, rank=self.ranks.rank)

    def scores(self, scores: dict[str, float], position: Position, of: dict[str, Any]) -> None:
        """A line of validation scores; `of` says what they were measured on. The leading rank calls it."""
        assert self.ranks.leads, "only the leading rank validates"
        place = {"stage": position.stage, "images": position.stage_images, "all_images": position.images}
        self._write(place | of | {"scores": {name: round(value, 6) for name, value in scores.items()}})
        self._draw({f"validation/{name}": value for name, value in scores.items()}, position)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside does not count in the pace."""
        clock, cpu_clock = time.monotonic(), time.process_time()
        yield
        then, cpu_then, images = self.since
        self.since = (then + time.monotonic() - clock, cpu_then + time.process_time() - cpu_clock, images)

    def close(self) -> None:
        """Flush what is not yet on the disk."""
        self._on_board(lambda board: board.close())

    def _write(self, line: dict[str, Any]) -> None:
        """Write the line; on a full disk it waits for the next one."""
        self.unwritten.append(line)
        with suppress(OSError):
            add_lines(self.file, self.unwritten)
            self.unwritten.clear()

    def _draw(self, curves: dict[str, float], position: Position) -> None:
        for name, value in curves.items():
            self._on_board(lambda board, name=name, value=value: board.add_scalar(name, value, position.images))

    def _on_board(self, show: Callable[[SummaryWriter], None]) -> None:
        """Hand it to TensorBoard, which is lost for the rest of the run when the disk is full."""
        try:
            if self.board is not None:
                show(self.board)
        except OSError as error:
            self.board = None
            self.event(f"TensorBoard's curves end here, the log goes on: {error}")

    def _pace(self, position: Position) -> tuple[float, float, float]:
        then, cpu_then, images = self.since
        seconds = time.monotonic() - then
        return seconds, time.process_time() - cpu_then, (position.images - images) / max(seconds, 1e-9)
