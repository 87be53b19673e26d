"""The screen while a run trains: a bar per stage with its pace, the time left, and the latest losses.

The bars follow the run's log file, so that they look the same wherever the workers are. Into a file goes a line a
minute.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from math import inf
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn
from rich.table import Column

from spt_dist import config

POLL_S = 0.5
SAY_S = 60.0  # between the lines in a file
# In a narrow window the losses give way; the rest keeps its least width.
COLUMNS = (
    TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=10)),
    BarColumn(bar_width=None, table_column=Column(min_width=12)),
    TextColumn("{task.completed}/{task.total} imgs", table_column=Column(no_wrap=True, min_width=14)),
    TextColumn("{task.fields[pace]:>8}", table_column=Column(no_wrap=True, min_width=8)),
    TextColumn("{task.fields[left]:>8}", table_column=Column(no_wrap=True, min_width=8)),
    TextColumn("[dim]{task.fields[losses]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
)


@contextmanager
def show_progress(run: Path, stages: config.Stages) -> Iterator[None]:
    """Show the stages' progress until the block ends."""
    console = Console(stderr=True)
    done = threading.Event()
    with Progress(*COLUMNS, console=console) as progress:
        tasks = {
            name: progress.add_task(
                name.replace("_", " "), total=plan["images"], start=False, pace="", left="-:--:--", losses="waiting"
            )
            for name, plan in asdict(stages).items()
            if plan["images"]
        }
        follower = threading.Thread(target=_follow, args=(run / "log.jsonl", progress, tasks, done), daemon=True)
        follower.start()
        try:
            yield
        finally:
            done.set()
            follower.join()


def _follow(log: Path, progress: Progress, tasks: dict, done: threading.Event) -> None:
    """Move the bars as lines come in; a last look after `done`."""
    read, said = 0, -inf
    while True:
        last_look = done.wait(POLL_S)
        text = log.read_text() if log.exists() else ""
        whole = text.rfind("\n") + 1  # a line being written has no end yet
        told = [line for line in map(json.loads, text[read:whole].splitlines()) if "terms" in line]
        for line in told:
            _show(line, progress, tasks)
        if told and not progress.console.is_terminal and monotonic() - said >= SAY_S:
            said = monotonic()
            progress.console.print(_in_words(progress.tasks[tasks[told[-1]["stage"]]]), soft_wrap=True)
        read = whole
        if last_look:
            return


def _show(line: dict, progress: Progress, tasks: dict) -> None:
    task = tasks[line["stage"]]
    progress.start_task(task)
    terms = "  ".join(f"{name.rpartition('/')[2]} {value:.3g}" for name, value in list(line["terms"].items())[:4])
    pace = line["images_per_s"]  # as measured where it trains: a resumed run's old lines all come at once
    left_s = round(((progress.tasks[task].total or 0) - line["images"]) / max(pace, 1e-6))
    left = f"{left_s // 3600}:{left_s // 60 % 60:02}:{left_s % 60:02}"
    progress.update(task, completed=line["images"], pace=f"{pace:.1f}/s", left=left, losses=terms)


def _in_words(task: Task) -> str:
    """A stage's state as a line."""
    pace, left, losses = (task.fields[key] for key in ("pace", "left", "losses"))
    done = f"{task.completed}/{task.total} imgs"
    return f"{datetime.now():%H:%M:%S} {task.description} {done}  {pace}  {left}  {losses}"
