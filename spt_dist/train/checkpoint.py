"""Checkpoints that are whole or absent.

Every rank writes its part into a hidden folder beside the others; the leader flushes it to the disk and renames it.
A folder under its final name is therefore complete. It holds the engines (parameters and optimizer, partitioned as the
engine does), the averages, and per rank the random states and the reader's position; `meta.json` names the resolved
configuration, the versions and the data's hash, which a resuming run must share.
"""

import json
import os
import platform
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import spt_dist
from spt_dist import config
from spt_dist.train.ranks import Ranks
from spt_dist.train.state import Position, State

VERSIONED = ("torch", "deepspeed", "ray", "webdataset", "numpy")
HIDDEN = ".writing-"


def versions() -> dict[str, str]:
    """What the numbers of a run depend on."""
    return {"spt-dist": spt_dist.__version__, "python": platform.python_version()} | {n: version(n) for n in VERSIONED}


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, if there is one."""
    whole = sorted(path for path in (run / "checkpoints").glob("[0-9]*") if path.is_dir())
    return whole[-1] if whole else None


def save(run: Path, settings: config.Config, state: State, reader: Any, data_hash: str, ranks: Ranks) -> Path:
    """Write a checkpoint and forget the oldest beyond `train.keep_checkpoints`; all ranks call it together."""
    final = run / "checkpoints" / f"{state.position.images:012d}"
    writing = final.with_name(HIDDEN + final.name)
    if ranks.leads:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
    ranks.barrier()
    for name, engine in state.engines.items():
        engine.save(writing / name)
    torch.save({"reader": reader.state_dict(), "random": torch.get_rng_state()}, writing / f"rank-{ranks.rank}.pt")
    if ranks.leads:
        for name, average in state.averages.items():
            save_file(average.module.state_dict(), writing / f"{name}-average.safetensors")
        meta = {
            "config": config.to_tree(settings),
            "versions": versions(),
            "data_hash": data_hash,
            "ranks": ranks.size,
            "position": asdict(state.position),
            "averaged_images": {name: average.seen_imgs for name, average in state.averages.items()},
        }
        (writing / "meta.json").write_text(json.dumps(meta, indent=1))
    ranks.barrier()
    if ranks.leads:
        _publish(writing, final)
        for old in sorted((run / "checkpoints").glob("[0-9]*"))[: -settings.train.keep_checkpoints]:
            shutil.rmtree(old)
    ranks.barrier()
    return final


def load(path: Path, settings: config.Config, state: State, reader: Any, data_hash: str, ranks: Ranks) -> None:
    """Put `state`, `reader` and the random generators back to where `save` found them.

    Raises:
        ValueError: the checkpoint is of another configuration, other data, or another number of ranks.
    """
    meta = json.loads((path / "meta.json").read_text())
    same = {"config": config.to_tree(settings), "data_hash": data_hash, "ranks": ranks.size}
    for key, value in same.items():
        stored = meta[key]
        if key == "config":
            stored, value = _flat(stored), _flat(json.loads(json.dumps(value)))
            differing = sorted(name for name in stored.keys() | value.keys() if stored.get(name) != value.get(name))
            stored, value = ({name: tree.get(name) for name in differing} for tree in (stored, value))
        if stored != value:
            raise ValueError(
                f"`{path}` was written with {key} {stored}, this run has {value}; "
                "resume with the same, or start a new run folder"
            )
    for name, engine in state.engines.items():
        engine.load(path / name)
    for name, average in state.averages.items():
        average.module.load_state_dict(load_file(path / f"{name}-average.safetensors"))
        average.seen_imgs = meta["averaged_images"][name]
    state.position = Position(**meta["position"])
    own = torch.load(path / f"rank-{ranks.rank}.pt", weights_only=True)
    reader.load_state_dict(own["reader"])
    torch.set_rng_state(own["random"])


def _publish(writing: Path, final: Path) -> None:
    """Flush every file and folder of `writing`, then give it its final name."""
    for path in [*writing.rglob("*"), writing]:
        _flush(path)
    if final.exists():
        shutil.rmtree(final)
    writing.rename(final)
    _flush(final.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return leaves
