"""What tests of whole runs share: a configuration as a file, and what a run has told so far."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spt_dist import config
from spt_dist.run_log import read_events, read_log
from spt_dist.train import checkpoint


def write_toml(settings: config.Config, path: Path) -> Path:
    """The settings as a file that `spt train` reads: dotted keys, values as JSON spells them."""
    path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in _leaves(config.to_tree(settings))))
    assert config.load(path) == settings
    return path


def losses(run: Path) -> list[tuple[int, dict[str, float]]]:
    """The reported losses by images."""
    file = run / "log.jsonl"
    return [(line["all_images"], line["terms"]) for line in read_log(file)] if file.exists() else []


def reached(run: Path, images: int) -> bool:
    """Whether the log has come so far."""
    told = losses(run)
    return bool(told) and told[-1][0] >= images


def events(run: Path, words: str) -> list[dict[str, Any]]:
    """What happened to the run, as far as it says these words."""
    return [event for event in read_events(run) if words in event["what"]]


def stopped_in_a_save(run: Path, rank: int, pid: int) -> bool:
    """Stop a rank's process while its part of a checkpoint is being written; let it go where that came too late."""
    writing = f"{checkpoint.HIDDEN}*"
    if not list((run / checkpoint.FOLDER).glob(writing)):
        return False
    os.kill(pid, signal.SIGSTOP)
    if list((run / checkpoint.FOLDER).glob(f"{writing}/{checkpoint.SUMS.format(rank)}")):
        os.kill(pid, signal.SIGCONT)
        return False
    return True


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None:  # which TOML cannot spell: left out
            yield f"{prefix}{key}", value
